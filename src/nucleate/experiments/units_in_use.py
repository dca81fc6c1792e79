"""Neurons, kernels and heads in use grow one at a time, from each plateau of the loss to the next."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from nucleate.architectures import ConvNetwork, Transformer
from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.experiments.saddles import STRENGTHS, count_in_use, half_way, judge_forecasts, linear_teacher
from nucleate.figures import panels
from nucleate.figures.style import GREY, colors
from nucleate.forecasting import Forecast, forecast_many
from nucleate.init_scale import InitScale
from nucleate.network import Network
from nucleate.observe import neurons
from nucleate.training import Batch, train_many

BEGUN, DONE, DROP = 0.1, 0.9, 0.1
INPUTS, PLACES = 6, 4
DTYPE = "float64"
"""Keys and queries move too little on the plateau for float32."""
LENGTH = 12
"""Runs are so many times as long as the first plateau: the last part grows at a quarter of the first one's rate."""


class Size(NamedTuple):
    units: int
    epsilon: float
    seeds: int
    rows: int
    learning_rate: float


class Kind(NamedTuple):
    """An architecture with one layer of units: how many places of a row it sees, and what its units read by."""

    units: str
    places: int
    create: Callable[[int, InitScale, int], Any]
    reads: Callable[[Any], Float[np.ndarray, "m k"]]


def _fully_connected(units: int, scale: InitScale, seed: int) -> Network:
    return Network.create(INPUTS, [units], len(STRENGTHS), scale=scale, seed=seed, dtype=DTYPE)


def _convolution(kernels: int, scale: InitScale, seed: int) -> ConvNetwork:
    """Kernels over patches that do not overlap, and a head on the mean of each channel."""
    shape, outputs = (PLACES * INPUTS, 1), len(STRENGTHS)
    step: dict[str, Any] = {"kernel": INPUTS, "stride": INPUTS, "padding": "valid"}
    return ConvNetwork.create(shape, [kernels], outputs, scale=scale, seed=seed, dtype=DTYPE, **step)


def _attention(heads: int, scale: InitScale, seed: int) -> Transformer:
    """Attention and its output matrix, with heads of one unit each, read as the mean over positions."""
    bare: dict[str, Any] = {"mlp": 0, "embedding": False, "positions": False, "residual": False, "causal": False}
    return Transformer.create(
        (PLACES, INPUTS),
        len(STRENGTHS),
        scale=scale,
        heads=heads,
        head_width=1,
        unembedding="none",
        readout="mean",
        seed=seed,
        dtype=DTYPE,
        **bare,
    )


KINDS = (
    Kind("neurons", 1, _fully_connected, lambda model: neurons(model, 1)),
    Kind("kernels", PLACES, _convolution, lambda model: model.kernels[0].reshape(len(model.kernels[0]), -1)),
    Kind("heads", PLACES, _attention, lambda model: model.blocks[0].value),
)


class Course(NamedTuple):
    """What a run was forecast and what it did, with the share of each of the teacher's parts that it had learned."""

    forecast: Forecast
    dropped: int | None
    steps: Int[np.ndarray, " t"]
    loss: Float[np.ndarray, " t"]
    learned: Float[np.ndarray, "t parts"]
    in_use: Int[np.ndarray, " t"]

    def plateaus(self) -> list[tuple[int, int]]:
        """Of each part, as they come, its number and the units in use half way from its end to the next one's start."""
        begins, ends = (
            [_first(self.steps, self.learned[:, part] >= share) for part in range(len(STRENGTHS))]
            for share in (BEGUN, DONE)
        )
        found = []
        for number, (end, following) in enumerate(zip(ends, [*begins[1:], self.steps[-1]], strict=True), start=1):
            if end is not None and following is not None and following > end:
                found.append((number, half_way(self.steps, self.in_use, end, following)))
        return found


def _first(steps: Int[np.ndarray, " t"], reached: np.ndarray) -> int | None:
    return int(steps[reached.argmax()]) if reached.any() else None


def measure(size: Size, progress: ShareDone) -> Measurement:
    courses: dict[str, list[Course]] = {}
    for done, kind in enumerate(KINDS, start=1):
        courses[kind.units] = _train(size, kind)
        progress(done / len(KINDS))
    every = [course for its in courses.values() for course in its]
    compared = [
        (expected, course.dropped, course.forecast.in_regime)
        for course in every
        if (expected := course.forecast.drop_steps[DROP]) is not None and course.dropped is not None
    ]
    alike = map(_one_at_a_time, courses.values())
    return Measurement((*alike, *judge_forecasts(compared, len(every))), _draw(courses))


def _one_at_a_time(courses: list[Course]) -> float:
    """The share of the plateaus on which as many units are in use as parts are learned; NaN if one did not come."""
    found = [number == in_use for course in courses for number, in_use in course.plateaus()]
    return float(np.mean(found)) if len(found) == len(courses) * len(STRENGTHS) else np.nan


def _train(size: Size, kind: Kind) -> list[Course]:
    problem = linear_teacher(size.rows, INPUTS, kind.places)
    # What the saddles consist of are the modes of the rows that there are (docs/theory.md), strongest first.
    modes = np.linalg.eigh(problem.train.y.T @ problem.train.y)[1][:, ::-1]
    models = [kind.create(size.units, InitScale("epsilon", size.epsilon), seed) for seed in range(size.seeds)]
    rates = [size.learning_rate] * size.seeds
    forecasts = forecast_many(models, problem, learning_rates=rates, keys=False)
    parts = problem.train.y @ modes
    steps: list[int] = []
    learned: list[list[Float[np.ndarray, " parts"]]] = []
    in_use: list[list[int]] = []

    def note(batch: Batch) -> None:
        steps.append(batch.step)
        outputs = [model(problem.train.x) @ modes for model in batch.final]
        learned.append([np.sum(parts * its, axis=0) / np.sum(parts**2, axis=0) for its in outputs])
        in_use.append([count_in_use(kind.reads(model)) for model in batch.final])

    expected = [step.estimate for forecast in forecasts if (step := forecast.drop_steps[DROP]) is not None]
    length = LENGTH * max(expected, default=1000)
    runs = train_many(
        models, problem, learning_rates=rates, steps=length, evaluations=300, measures=(), on_evaluation=note
    )
    return [
        Course(
            forecast,
            run.drop_steps[DROP],
            np.array(steps),
            np.interp(steps, run.trajectory["step"].to_numpy(), run.trajectory["train_loss"].to_numpy()),
            np.array(learned)[:, index],
            np.array(in_use)[:, index],
        )
        for index, (forecast, run) in enumerate(zip(forecasts, runs, strict=True))
    ]


def _draw(courses: dict[str, list[Course]]) -> Figure:
    figure, (*curves, ratios) = panels(len(courses) + 1, width=3.0, beside=0.2)
    for place, (units, its) in enumerate(courses.items(), start=1):
        panel, first = curves[place - 1], its[0]
        losses = panel.twinx()
        losses.spines[["top", "right"]].set_visible(False)
        losses.plot(first.steps + 1, first.loss / first.loss[0], color=GREY, lw=1)
        losses.set_yscale("log")
        losses.yaxis.set_visible(False)
        for course, color in zip(its, colors(len(its)), strict=True):
            panel.step(course.steps + 1, course.in_use, color=color, lw=1.2, where="post")
            step = course.forecast.drop_steps[DROP]
            if step is not None:
                panel.axvline(step.estimate, color=color, lw=1, ls=":")
            if step is not None and course.dropped is not None:
                shape = "o" if course.forecast.in_regime else "x"
                ratios.plot(place, step.estimate / course.dropped, shape, color=color, ms=4, alpha=0.7)
        panel.set(xlabel="step + 1", ylabel=f"{units} in use", xscale="log", ylim=(0, INPUTS + 0.5))
        panel.set_title("Grey: loss; dotted: forecast")
    ratios.axhline(1, color=GREY, lw=1, ls="--")
    ratios.set(ylabel="forecast over measured step", xlim=(0.5, len(courses) + 0.5), ylim=(0.9, 1.1))
    ratios.set_xticks(range(1, len(courses) + 1), [*courses])
    ratios.set_title("The first 10 % drop")
    return figure


EXPERIMENT = Experiment(
    name="units-in-use",
    claim="From a small start neurons, kernels and attention heads in use grow one at a time, from each plateau of the "
    "loss to the next.",
    source="Zhang, Saxe and Latham 2025, arXiv 2512.20607; the forecast of the first step: docs/theory.md",
    setting="one hidden layer of {units} tanh neurons, of {units} tanh kernels over 4 patches with a head on their "
    "mean, and one layer of attention over 4 positions with {units} heads of one unit, epsilon {epsilon}, gradient "
    "descent at rate {learning_rate} on teachers of three outputs that are linear in the mean over patches or "
    "positions, with singular values 1, 0.5 and 0.25, and {rows} rows, {seeds} seeds from 0; in use: singular values "
    "of what the units read by above 0.3 of the largest, half way (in the logarithm of the step) from where nine "
    "tenths of a part are learned to where a tenth of the next is",
    criteria=(
        Criterion("plateaus with as many neurons in use as parts learned, share", "at least", 0.95),
        Criterion("the same of kernels", "at least", 0.95),
        Criterion("the same of heads", "at least", 0.95),
        Criterion("forecast of the 10 % drop, relative error, median", "at most", 0.03),
        Criterion("intervals declared in the regime that hold, share", "at least", 0.9),
    ),
    quick=Size(units=12, epsilon=1e-6, seeds=3, rows=400, learning_rate=0.1),
    full=Size(units=24, epsilon=1e-7, seeds=4, rows=600, learning_rate=0.1),
    measure=measure,
)
