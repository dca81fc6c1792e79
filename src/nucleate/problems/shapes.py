"""Images, signals and rows of numbers whose shape is known."""

import numpy as np
from jaxtyping import Float

from nucleate.problems.made import EVALUATION_ROWS, Made, Part, RowShape, check_option
from nucleate.problems.splitting import part_sizes, split_rows

# A curve for each digit, from its heights at evenly spaced places: as many bumps and dips as strokes of the pen.
TEMPLATES = (
    (0.0, 3.0, 5.0, 6.0, 5.5, 5.0, 5.5, 6.0, 5.0, 3.0, 0.0, 0.0),
    (0.0, 1.0, 3.0, 6.0, 2.0, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 0.0),
    (0.0, 4.0, 5.0, 4.0, 1.0, -2.0, -3.0, -1.0, 3.0, 5.0, 5.0, 0.0),
    (0.0, 4.0, 5.0, 2.0, 1.0, 3.0, 1.0, 2.0, 5.0, 4.0, 0.0, 0.0),
    (0.0, -3.0, -4.0, -1.0, 3.0, 3.5, 3.0, 5.0, 1.0, -4.0, -2.0, 0.0),
    (0.0, 5.0, 5.0, 5.0, -1.0, -2.0, 2.0, 4.0, 2.0, -2.0, -3.0, 0.0),
    (0.0, 2.0, 0.0, -3.0, -5.0, -4.0, -1.0, 2.0, 3.0, 1.0, -2.0, 0.0),
    (0.0, 5.0, 5.0, 5.0, 4.0, 2.0, 0.0, -2.0, -3.0, -3.0, -1.0, 0.0),
    (0.0, 4.0, 1.0, -3.0, 1.0, 4.0, 1.0, -3.0, 1.0, 4.0, 1.0, 0.0),
    (0.0, 4.0, 5.0, 1.0, -1.0, 1.0, 5.0, 3.0, -2.0, -4.0, -5.0, 0.0),
)


def signals(rng: np.random.Generator, *, length: int = 40, rows: int = 2000, noise: float = 0.25) -> Made:
    """Ten curves along one axis, each moved, stretched, tilted and disturbed: digits as MNIST-1D has them.

    After Greydanus and Kobak 2020 (arXiv 2011.14439), with templates and a generator of our own. A template of twelve
    heights is stretched over 40 to 80 % of the signal, set at a random place, multiplied by 0.75 to 1.25 and tilted;
    smooth and white noise of standard deviation ``noise`` each are added, in units in which a template has 1.
    """
    check_option("length", length, 12, 10_000)
    check_option("rows", rows, 20, 10_000_000)
    check_option("noise", noise, 0, 1e6)
    return Made(
        _signals(rng, rows, length, noise),
        _signals(rng, EVALUATION_ROWS, length, noise),
        _signals(rng, EVALUATION_ROWS, length, noise),
        RowShape((length, 1)),
        tuple(range(len(TEMPLATES))),
    )


def _signals(rng: np.random.Generator, n: int, length: int, noise: float) -> Part:
    templates = np.array(TEMPLATES)
    templates /= templates.std(axis=1, keepdims=True)
    digits = rng.permutation(np.arange(n) % len(templates))
    spans = rng.uniform(0.4, 0.8, n) * length
    starts = rng.uniform(0, length - spans)
    scales, tilts = rng.uniform(0.75, 1.25, n), rng.uniform(-0.5, 0.5, n)
    places, knots = np.arange(length) + 0.5, np.linspace(0, 1, templates.shape[1])
    x = np.stack(
        [
            scale * np.interp((places - start) / span, knots, templates[digit], left=0, right=0)
            for digit, start, span, scale in zip(digits, starts, spans, scales, strict=True)
        ]
    )
    x += tilts[:, None] * np.linspace(-1, 1, length)
    window = np.exp(-0.5 * (np.arange(-4, 5) / 2.0) ** 2)
    smooth = np.apply_along_axis(
        np.convolve, 1, rng.standard_normal((n, length)), window / np.linalg.norm(window), mode="same"
    )
    return Part(x + noise * (smooth + rng.standard_normal((n, length))), digits)


def images(rng: np.random.Generator) -> Made:
    """The handwritten digits of scikit-learn as images of 8 x 8, from 0 to 1: every pixel, as it is.

    The bundled set ``digits`` has the same rows as columns, standardized, without the pixels that are always empty.
    """
    from sklearn import datasets

    bunch = datasets.load_digits()
    labels = bunch.target
    rows = split_rows(part_sizes(len(labels), 0.2, 0.2), int(rng.integers(2**31)), labels)
    train, validation, test = (Part(bunch.data[part] / 16.0, labels[part]) for part in rows)
    return Made(train, validation, test, RowShape((8, 8, 1)), tuple(range(10)))


def in_context(
    rng: np.random.Generator, *, inputs: int = 3, examples: int = 8, rows: int = 2000, noise: float = 0.0
) -> Made:
    """A linear function told by examples, each row another: the value at the last point, from those before.

    A row is ``examples`` points (x, w . x + noise) and the query (x, 0), each a position of ``inputs`` + 1 numbers, x
    and w normal, and w of expected length 1 (after Garg et al. 2022, arXiv 2208.01066). The target is w . x there.
    """
    check_option("inputs", inputs, 1, 1000)
    check_option("examples", examples, 1, 10_000)
    check_option("rows", rows, 4, 10_000_000)
    check_option("noise", noise, 0, 1e6)

    def draw(n: int) -> Part:
        w = rng.standard_normal((n, inputs)) / np.sqrt(inputs)
        points: Float[np.ndarray, "n s k"] = rng.standard_normal((n, examples + 1, inputs + 1))
        values = np.einsum("nsk,nk->ns", points[:, :, :-1], w)
        points[:, :, -1] = values + noise * points[:, :, -1]
        points[:, -1, -1] = 0.0
        return Part(points.reshape(n, -1), values[:, -1])

    return Made(draw(rows), draw(EVALUATION_ROWS), draw(EVALUATION_ROWS), RowShape((examples + 1, inputs + 1)))
