"""Forecast over measured step of the 10 % drop for convolutions and transformers, and when keys and queries double.

    make bench BENCHMARK=forecast_models

Six sets, three for transformers and three for convolutions, x four scales x five seeds of tiny models, by full-batch
gradient descent. Printed: a table a set, and medians,
coverage of the intervals and worst cases inside and outside the regime that the forecasts declare; how near each
matrix's leading direction is to the one forecast; and the same steps for keys and queries.
"""

import codecs
import sys
import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np

from nucleate import ConvNetwork, InitScale, Problem, Transformer, load_problem
from nucleate.forecasting import forecast_many, measure_outcomes

SEEDS = 5
DROP = 0.1


def attention_teacher(n: int = 80, length: int = 4, width: int = 3, seed: int = 0) -> Problem:
    """Targets that a softmax gives, of which even averages fit a part."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, length, width))
    Q, K = 1.5 * rng.standard_normal((2, width, width))
    logits = np.einsum("nd,de,nke->nk", X[:, -1], Q @ K.T / width**0.5, X)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    y = np.einsum("nk,nkd->nd", weights, X) @ rng.standard_normal(width)
    return Problem.from_arrays(X.reshape(n, -1), y / y.std(), task="regression", validation=0.1, test=0.1)


def attention_alone(problem: Problem, scale: float, seed: int) -> Transformer:
    """The one-layer model of the theory: no embedding, no residual stream."""
    return Transformer.create(
        (4, 3),
        problem.outputs,
        scale=InitScale("epsilon", scale),
        mlp=8,
        embedding=False,
        positions=False,
        project=False,
        unembedding="none",
        causal=False,
        residual=False,
        seed=seed,
    )


def small_transformer(problem: Problem, scale: float, seed: int) -> Transformer:
    """Everything that transformers have, in small: tokens, positions, two causal blocks and a residual stream."""
    sizes, tokens = problem.row_shape
    return Transformer.create(
        sizes, problem.outputs, tokens=tokens, scale=InitScale("epsilon", scale), width=8, mlp=8, layers=2, seed=seed
    )


def one_layer_of_kernels(problem: Problem, scale: float, seed: int) -> ConvNetwork:
    return ConvNetwork.create(
        (8, 8, 1),
        [32],
        problem.outputs,
        scale=InitScale("epsilon", scale),
        stride=2,
        readout="flatten",
        seed=seed,
    )


def two_layers_of_kernels(problem: Problem, scale: float, seed: int) -> ConvNetwork:
    return ConvNetwork.create(
        (24, 1),
        [6, 6],
        problem.outputs,
        scale=InitScale("epsilon", scale),
        kernel=5,
        stride=2,
        readout="flatten",
        seed=seed,
    )


def pooled_kernels(problem: Problem, scale: float, seed: int) -> ConvNetwork:
    return ConvNetwork.create(
        (8, 8, 3),
        [16],
        problem.outputs,
        scale=InitScale("epsilon", scale),
        pool=2,
        readout="flatten",
        seed=seed,
    )


def zen_of_python() -> Problem:
    """The next character of a text that comes with Python, from the eight before it."""
    with redirect_stdout(StringIO()):
        import this
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zen.txt"
        path.write_text(codecs.decode(this.s, "rot13"), "utf-8")
        return load_problem(f"text:{path},length=8,rows=300")


def photographs(rows: int = 400, seed: int = 0) -> Problem:
    """From which of scikit-learn's two photographs, a temple and a flower, a patch of 8 x 8 pixels is."""
    from sklearn.datasets import load_sample_image

    rng = np.random.default_rng(seed)
    x, y = [], np.arange(rows) % 2
    photos = [load_sample_image(name) / 255.0 for name in ("china.jpg", "flower.jpg")]
    for which in y:
        photo = photos[which]
        top, left = (rng.integers(0, size - 8) for size in photo.shape[:2])
        x.append(photo[top : top + 8, left : left + 8].ravel())
    x = np.array(x) - np.mean([photo.mean() for photo in photos])
    return Problem.from_arrays(x, np.array(["china", "flower"])[y], standardize=False)


SETS = {
    "attention teacher, attention alone": (attention_teacher, attention_alone, 0.1, (0.1, 0.03, 0.01, 0.003)),
    "anchor-identity, transformer of two layers": (
        lambda: load_problem("anchor-identity:length=4,items=10,rows=150"),
        small_transformer,
        0.5,
        (0.1, 0.03, 0.01, 0.003),
    ),
    "Zen of Python, transformer of two layers": (zen_of_python, small_transformer, 0.5, (0.1, 0.03, 0.01, 0.003)),
    "digits-8x8, one layer of kernels": (
        lambda: few(load_problem("digits-8x8")),
        one_layer_of_kernels,
        0.2,
        (0.1, 0.03, 0.01, 0.003),
    ),
    "digits-1d, two layers of kernels": (
        lambda: load_problem("digits-1d:length=24,rows=200"),
        two_layers_of_kernels,
        0.2,
        (0.05, 0.02, 0.005, 0.002),
    ),
    "photographs, one layer of kernels, pooled": (photographs, pooled_kernels, 0.02, (0.1, 0.03, 0.01, 0.003)),
}


def few(problem: Problem, rows: int = 300) -> Problem:
    """The first rows of a problem's training part, which split_rows has put in random order."""
    from dataclasses import replace

    return replace(problem, train=problem.train.only(np.arange(rows)))


def main() -> None:
    print("| set and model | scale | measured step | forecast / measured: median (range) | held | in regime |")
    print("|---|---|---|---|---|---|")
    rows, keys, axes, began = [], [], {}, time.perf_counter()
    for name, (load, make, rate, scales) in SETS.items():
        problem = load()
        for scale in scales:
            models = [make(problem, scale, seed) for seed in range(SEEDS)]
            forecasts = forecast_many(models, problem, learning_rates=[rate] * SEEDS, horizon=20_000)
            outcomes = measure_outcomes(models, problem, forecasts, steps=5000)
            cell = []
            for expected, found in zip(forecasts, outcomes, strict=True):
                step, measured = expected.drop_steps[DROP], found.drop_steps[DROP]
                if step is not None and measured is not None:
                    held = step.lower <= measured <= step.upper
                    cell.append((step.estimate / max(measured, 1), held, expected.in_regime, measured))
                    if expected.in_regime:
                        for matrix, cosine in found.matrices.items():
                            axes.setdefault((name, matrix), []).append(cosine)
                for one, seen in zip(expected.keys, found.keys, strict=True):
                    if one.doubled is not None and seen.doubled is not None:
                        held = one.doubled.lower <= seen.doubled <= one.doubled.upper
                        keys.append((one.doubled.estimate / seen.doubled, held, one.in_regime, seen.query, seen.key))
            rows += cell
            inside = sum(one.in_regime for one in forecasts)
            if not cell:
                print(f"| {name} | {scale:g} | - | - | - | {inside} of {SEEDS} |", flush=True)
                continue
            ratios = [one[0] for one in cell]
            print(
                f"| {name} | {scale:g} | {np.median([one[3] for one in cell]):.0f} | {np.median(ratios):.3f} "
                f"({min(ratios):.3f} to {max(ratios):.3f}) | {sum(one[1] for one in cell)} of {len(cell)} | "
                f"{inside} of {SEEDS} |",
                flush=True,
            )
    print()
    for what, found in (("10 % drop", rows), ("keys and queries doubled", keys)):
        for inside in (True, False):
            chosen = [one for one in found if one[2] == inside]
            if not chosen:
                continue
            errors = np.abs(np.log([one[0] for one in chosen]))
            print(
                f"{what}, declared {'valid' if inside else 'invalid'}: {len(chosen)} runs; median error "
                f"{np.median(errors):.2%}, largest {errors.max():.1%}; intervals held "
                f"{np.mean([one[1] for one in chosen]):.1%}"
            )
    if keys:
        inside = [one for one in keys if one[2]] or keys
        print(
            f"|cos| of queries and keys to the directions forecast: median {np.median([one[3:] for one in inside]):.3f}"
        )
    print("|cos| of each matrix to the direction forecast, median in the regime:")
    for (name, matrix), cosines in axes.items():
        print(f"  {name}: {matrix} {np.median(cosines):.3f} (least {min(cosines):.3f})")
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
