"""Targets of the condensation literature, with few training points and as many others as a fair judgement needs."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float

from nucleate.errors import DataError
from nucleate.problems.checks import Kind, target_kinds
from nucleate.problems.columns import tabulate_columns, what_became
from nucleate.problems.losses import CROSS_ENTROPY, SQUARED, Loss, get_loss
from nucleate.problems.made import EVALUATION_ROWS, Maker, read_name, table_of
from nucleate.problems.options import DataOptions
from nucleate.problems.preprocessing import Column, Preprocessing
from nucleate.problems.problem import Parts, Problem, assemble
from nucleate.problems.shapes import images, in_context, signals
from nucleate.problems.splitting import seeded
from nucleate.problems.tokens import anchor_identity, anchor_pairs, anchor_single, modular_addition, text
from nucleate.tables.reading import table_from_array, table_from_arrays, table_hash

ELEVATION_ROWS = 5000

Table = tuple[pl.DataFrame, tuple[str, ...]]
"""Raw columns, and which of them are the target."""


def _scikit_learn(name: str, *targets: str, **options: Any) -> Table:
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(**options)
    values = bunch.target
    if values.dtype.kind == "i":
        values = np.asarray(bunch.target_names, str)[values]
    inputs = table_from_array(bunch.data, [str(feature) for feature in bunch.feature_names])
    return inputs.hstack(table_from_array(values.reshape(len(values), -1), targets)), targets


def _diabetes() -> Table:
    """As by `_scikit_learn`, from the files that it reads: importing scikit-learn takes longer than a forecast."""
    found = find_spec("sklearn")
    folder = Path(found.origin if found and found.origin else "").parent / "datasets" / "data"
    names = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
    try:
        x = np.loadtxt(folder / "diabetes_data_raw.csv.gz")
        y = np.loadtxt(folder / "diabetes_target.csv.gz")
    except OSError:
        return _scikit_learn("diabetes", "progression", scaled=False)
    return table_from_array(x, names).hstack(table_from_array(y[:, None], ("progression",))), ("progression",)


def _elevation() -> Table:
    """5000 points of the digital elevation model, the same at every call.

    The surface is rough at every scale, so a network that condenses onto few directions is not expected to do well.
    """
    from matplotlib.cbook import get_sample_data

    with np.load(get_sample_data("jacksboro_fault_dem.npz", asfileobj=False)) as model:
        height = model["elevation"]
        latitude = np.linspace(model["ymin"], model["ymax"], height.shape[0])
        longitude = np.linspace(model["xmin"], model["xmax"], height.shape[1])
    points = np.sort(np.random.default_rng(0).permutation(height.size)[:ELEVATION_ROWS])
    row, column = np.unravel_index(points, height.shape)
    table = {"longitude": longitude[column], "latitude": latitude[row], "height": height[row, column]}
    return pl.DataFrame(table), ("height",)


BUNDLED: dict[str, Callable[[], Table]] = {
    "diabetes": _diabetes,
    "breast_cancer": partial(_scikit_learn, "breast_cancer", "diagnosis"),
    "wine": partial(_scikit_learn, "wine", "cultivar"),
    "digits": partial(_scikit_learn, "digits", "digit"),
    "iris": partial(_scikit_learn, "iris", "species"),
    "linnerud": partial(_scikit_learn, "linnerud", "weight", "waist", "pulse"),
    "elevation": _elevation,
}


# How soon a condensed layer splits again depends on the 80 points of sine-5d. With this offset split seed 0 is a draw
# on which networks with one and with two hidden layers both condense and split within 1000 epochs of the literature's
# setting; benchmarks/condensation_notebook.py shows other draws.
FIRST_DRAW = 9


class Synthetic(NamedTuple):
    """A function, the law its validation and test inputs are drawn from, and how its training inputs are chosen."""

    function: Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]]
    draw: Callable[[np.random.Generator, int], Float[np.ndarray, "n d"]]
    training: Callable[[np.random.Generator], Float[np.ndarray, "n d"]]


def is_drawn(data: str) -> bool:
    """Whether it names a problem whose parts are made apart from each other."""
    return data in SYNTHETIC or read_name(data, MAKERS) is not None


def load_drawn(data: str, options: DataOptions) -> Problem:
    """The problem of that name, drawn by the seed of the split; it knows its target and task, and has no columns."""
    asked, task, loss = options.asked, options.task, options.loss
    if any(one is not None for one in (*asked.own.values(), asked.split, asked.split_by, asked.split_by_time)):
        raise DataError(
            f"{data} is a synthetic problem, whose parts are drawn apart from each other; leave out what says another "
            "split."
        )
    if options.weights is not None:
        raise DataError(f"{data} is a synthetic problem and has no column of weights; leave --weights out.")
    # Of the problems whose rows have a shape one has amounts as targets.
    usual = SQUARED if data in SYNTHETIC or data.startswith("in-context-regression") else CROSS_ENTROPY
    chosen = usual if loss is None else get_loss(loss)
    if (
        options.target is not None
        or options.without
        or {task or usual.link.task, chosen.link.task} != {usual.link.task}
    ):
        raise DataError(f"{data} is a synthetic {usual.link.task} problem; leave the target and the task out.")
    if data in SYNTHETIC:
        return _load_synthetic(data, asked.seed, chosen, bool(options.standardize))
    if options.standardize:
        raise DataError(f"{data} has rows that are read as they are; leave standardize out.")
    return _load_made(data, asked.seed, chosen)


def _load_synthetic(name: str, split_seed: int, loss: Loss, standardize: bool) -> Problem:
    """The synthetic problem of that name, drawn by the seed, under a loss for amounts."""
    law, rng = SYNTHETIC[name], seeded(split_seed, FIRST_DRAW)
    drawn = (law.training(rng), law.draw(rng, EVALUATION_ROWS), law.draw(rng, EVALUATION_ROWS))
    parts = [table_from_arrays(x, law.function(x))[0] for x in drawn]
    *inputs, target = parts[0].columns
    kinds = target_kinds(pl.concat(parts).select(target), loss)
    made = Parts(parts, kinds, loss, table_hash(*parts))
    return _of_parts(name, made, dict.fromkeys(inputs, "numeric"), DataOptions(standardize=standardize))


def _of_parts(name: str, parts: Parts, inputs: Mapping[str, Kind], options: DataOptions) -> Problem:
    """The problem of parts that were made here, with the table of their columns."""
    problem, table = assemble(name, parts, inputs, options), pl.concat(parts.tables)
    return replace(problem, columns=tabulate_columns(table, what_became(table, problem.preprocessing)))


def sum_of_sines(x: Float[np.ndarray, "n 5"]) -> Float[np.ndarray, " n"]:
    """``sum_k 3.5 sin(5 x_k + 1)``: Zhou et al. 2022 (arXiv 2105.11686); github.com/dlphenomena/condensation."""
    return 3.5 * np.sin(5 * x + 1).sum(axis=1)


# Four ReLUs a relu(s (x - t)): the height a, the side s on which it rises, and the kink t.
FOUR_RELUS = ((1.5, -1, -0.6), (-1.0, -1, -0.1), (-1.0, 1, 0.2), (2.0, 1, 0.6))


def four_relus(x: Float[np.ndarray, "n 1"]) -> Float[np.ndarray, " n"]:
    """``1.5 relu(-x - 0.6) - relu(-x - 0.1) - relu(x - 0.2) + 2 relu(x - 0.6)``.

    A piecewise linear target with four kinks, to be learned from few points as in Luo et al. 2021 (arXiv 2007.07497).

    >>> four_relus(np.array([[-1.0], [-0.6], [0.0], [0.6], [1.0]])).round(9) + 0.0
    array([-0.3, -0.5,  0. , -0.4,  0. ])
    """
    return np.sum([a * np.maximum(s * (x[:, 0] - t), 0) for a, s, t in FOUR_RELUS], axis=0)


def narrow_teacher(x: Float[np.ndarray, "n 10"]) -> Float[np.ndarray, " n"]:
    """``sum_k tanh(w_k . x)`` with three fixed weights of length 2, whatever the seed of the inputs."""
    directions = np.random.default_rng(3).standard_normal((3, 10))
    weights = 2 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return np.tanh(x @ weights.T).sum(axis=1)


def _cube(rng: np.random.Generator, n: int) -> Float[np.ndarray, "n 5"]:
    return rng.uniform(-4, 2, (n, 5))


def _interval(rng: np.random.Generator, n: int) -> Float[np.ndarray, "n 1"]:
    return rng.uniform(-1, 1, (n, 1))


def _normal(rng: np.random.Generator, n: int) -> Float[np.ndarray, "n 10"]:
    return rng.standard_normal((n, 10))


SYNTHETIC = {
    "sine-5d": Synthetic(sum_of_sines, _cube, lambda rng: _cube(rng, 80)),
    "four-relu-1d": Synthetic(four_relus, _interval, lambda rng: np.linspace(-1, 1, 40)[:, None]),
    "teacher-3": Synthetic(narrow_teacher, _normal, lambda rng: _normal(rng, 200)),
}

MAKERS: dict[str, Maker] = {
    "digits-8x8": images,
    "digits-1d": signals,
    "anchor-identity": anchor_identity,
    "anchor-single": anchor_single,
    "anchor-pairs": anchor_pairs,
    "modular-addition": modular_addition,
    "in-context-regression": in_context,
    "text": text,
}
"""The problems whose rows have a shape, by the first part of their names."""


def _load_made(data: str, split_seed: int, loss: Loss) -> Problem:
    """The problem with rows of a known shape that these data name, drawn by the seed."""
    found = read_name(data, MAKERS)
    assert found is not None
    maker, options = found
    made = maker(seeded(split_seed), **options)
    parts = [table_of(part) for part in (made.train, made.validation, made.test)]
    *inputs, target = parts[0].columns
    labels = made.labels or ()
    preprocessing = Preprocessing(
        inputs=tuple(Column(name=name, kind="numeric") for name in inputs),
        targets=(Column(name=target, kind="categorical" if labels else "numeric", categories=labels),),
    )
    drawn = Parts(parts, {}, loss, table_hash(*parts))
    problem = _of_parts(data, drawn, {}, DataOptions(preprocessing=preprocessing))
    notes = made.notes
    if made.shape.tokens is not None:
        notes += (
            f"Rows hold the numbers of {made.shape.tokens} tokens, which fully connected networks and linear models "
            'read as amounts; --model transformer (in Python model="transformer") reads them as tokens.',
        )
    return replace(problem, notes=notes, row_shape=made.shape)
