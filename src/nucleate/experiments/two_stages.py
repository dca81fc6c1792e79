"""From a small start a transformer condenses first, then its keys and queries grow and become rank one."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nucleate.architectures import Transformer
from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.experiments.saddles import judge_forecasts
from nucleate.figures.style import BLUE, GREEN, GREY, ORANGE, cosine_map, legend, quiet
from nucleate.forecasting import Forecast, StepForecast, forecast_many
from nucleate.forecasting.models import growth_step
from nucleate.init_scale import InitScale
from nucleate.observe import cosine_similarity, effective_rank, stable_rank
from nucleate.problems import Problem, load_problem
from nucleate.theory import (
    RankCollapse,
    attention_stage,
    key_query_moment,
    path_moment,
    rank_collapse,
    settled_map,
    vector_field,
)
from nucleate.training import Batch, train_many

LENGTH, ITEMS = 3, 20
DROP = 0.1
"""The share by which the loss has fallen where the first stage is read."""
DOUBLED, THREEFOLD, TENFOLD = 2.0, 3.0, 10.0
"""Of the norm of keys and queries together; the second stage is read from the second on to the third."""
TURNED = 0.9
COLORS = {"value": ORANGE, "hidden": GREEN, "query": BLUE, "key": GREY}


class Size(NamedTuple):
    units: int
    hidden: int
    epsilons: tuple[float, ...]
    seeds: int
    rows: int
    learning_rate: float


class _Data(NamedTuple):
    problem: Problem
    tokens: Float[np.ndarray, "n s d"]
    moment: Float[np.ndarray, "1 d"]
    keys_turn: Float[np.ndarray, "d d"]
    """``F`` where the first stage has settled, for heads of one unit."""

    def collapse(self, model: Transformer) -> RankCollapse:
        """How keys and queries grow from there on."""
        query, key = (_weights(model)[name] for name in ("query", "key"))
        return rank_collapse(query.T, key.T, self.keys_turn / len(query) ** 0.5)


class _Course(NamedTuple):
    """A run: its models at the steps, and the norm of keys and queries together over that of the start."""

    forecast: Forecast
    dropped: int | None
    steps: Int[np.ndarray, " t"]
    models: list[Transformer]
    grown: Float[np.ndarray, " t"]

    def at_growth(self, times: float) -> int | None:
        """The evaluation by which keys and queries have grown so many times."""
        beyond = np.flatnonzero(self.grown >= times)
        return int(beyond[0]) if beyond.size else None

    def compared(self) -> list[tuple[StepForecast | None, float | None, bool]]:
        """What was forecast, what was measured, and whether the interval is declared to be in the regime."""
        keys = self.forecast.keys[0]
        return [
            (self.forecast.drop_steps[DROP], self.dropped, self.forecast.in_regime),
            (keys.doubled, growth_step(self.steps, self.grown, DOUBLED), keys.in_regime),
        ]


class _FirstStage(NamedTuple):
    turned: float
    meeting: float
    moved: float


class _SecondStage(NamedTuple):
    rank: float
    steady: float
    along: float


def measure(size: Size, progress: ShareDone) -> Measurement:
    data = anchors(size.rows)
    runs: dict[float, list[_Course]] = {}
    for done, epsilon in enumerate(size.epsilons, start=1):
        runs[epsilon] = _train(size, data, epsilon)
        progress(done / len(size.epsilons))
    every = [run for at in runs.values() for run in at]
    first = _FirstStage(*np.transpose([_first_stage(run, data) for run in every]))
    second = _SecondStage(*np.transpose([_second_stage(run, data) for run in every]))
    both = [
        (expected, measured, in_regime)
        for run in every
        for expected, measured, in_regime in run.compared()
        if expected is not None and measured is not None
    ]
    numbers = (
        np.min(first.turned),
        np.min(first.meeting),
        np.max(first.moved),
        np.max(second.rank),
        np.min(second.steady),
        np.min(second.along),
        *judge_forecasts(both, 2 * len(every)),
    )
    return Measurement(tuple(map(float, numbers)), _draw(runs))


def anchors(rows: int) -> _Data:
    """Sequences with an anchor, and as target the amount that the item behind it and the anchor add up to."""
    numbers = load_problem(f"anchor-single:length={LENGTH},items={ITEMS},rows={rows}").train
    used, places = np.unique(numbers.x, return_inverse=True)
    width = len(used) + LENGTH
    # Orthonormal, and along no axis, so that no column is constant.
    vectors = np.linalg.qr(np.random.default_rng(0).standard_normal((width, width)))[0]
    x = vectors[places.reshape(numbers.x.shape)] + vectors[len(used) :]
    amounts = numbers.y.argmax(axis=1).astype(float)
    y = (amounts - amounts.mean()) / amounts.std()
    problem = Problem.from_arrays(
        x.reshape(len(x), -1), y, name="anchors", task="regression", validation=0.1, test=0.1, standardize=False
    )
    tokens, targets = problem.train.x.reshape(-1, LENGTH, width), problem.train.y
    settled = settled_map(tokens, targets)
    left = targets - tokens.mean(axis=1) @ settled
    return _Data(problem, tokens, path_moment(tokens, targets), key_query_moment(tokens, left @ settled.T))


def _train(size: Size, data: _Data, epsilon: float) -> list[_Course]:
    models = [
        Transformer.create(
            data.tokens.shape[1:],
            1,
            scale=InitScale("epsilon", epsilon),
            head_width=size.units,
            mlp=size.hidden,
            embedding=False,
            positions=False,
            project=False,
            unembedding="none",
            residual=False,
            seed=seed,
            # Keys and queries move by less in a step of the first stage than float32 resolves.
            dtype="float64",
        )
        for seed in range(size.seeds)
    ]
    rates = [size.learning_rate] * size.seeds
    forecasts = forecast_many(models, data.problem, learning_rates=rates)
    steps, seen = [0], [models]

    def note(batch: Batch) -> None:
        steps.append(batch.step)
        seen.append(list(batch.final))

    runs = train_many(
        models,
        data.problem,
        learning_rates=rates,
        steps=max(_length(size, data, *both) for both in zip(models, forecasts, strict=True)),
        evaluations=300,
        measures=(),
        on_evaluation=note,
    )
    courses = []
    for index, (run, forecast) in enumerate(zip(runs, forecasts, strict=True)):
        at = [models[index] for models in seen]
        norms = np.array([_norm_of_keys(model) for model in at])
        courses.append(_Course(forecast, run.drop_steps[DROP], np.array(steps), at, norms / norms[0]))
    return courses


def _length(size: Size, data: _Data, model: Transformer, forecast: Forecast) -> int:
    """Steps until keys and queries should have grown half as far again as is read."""
    doubled, drop = forecast.keys[0].doubled, forecast.drop_steps[DROP]
    if doubled is None:
        return 2 * drop.upper if drop is not None else 1000
    further = np.log(1.5 * TENFOLD / DOUBLED) / (data.collapse(model).rate * size.learning_rate)
    return doubled.upper + int(further)


def _weights(model: Transformer) -> dict[str, Float[np.ndarray, "m k"]]:
    """The matrices by the names of the figure, a row for each unit."""
    block = model.blocks[0]
    named = {"value": block.value, "hidden": block.mlp_in, "query": block.query, "key": block.key}
    return {name: np.asarray(matrix, float) for name, matrix in named.items()}


def _norm_of_keys(model: Transformer) -> float:
    """That of keys and queries together."""
    found = _weights(model)
    return float(np.hypot(np.linalg.norm(found["query"]), np.linalg.norm(found["key"])))


def _first_stage(run: _Course, data: _Data) -> _FirstStage:
    """Where the loss has dropped: how far units have turned, meet the sign condition, and keys and queries moved."""
    if run.dropped is None:
        return _FirstStage(np.nan, np.nan, np.nan)
    model = run.models[int(np.searchsorted(run.steps, run.dropped))]
    start, now = _weights(run.models[0]), _weights(model)
    axes = {one.name: one.incoming for one in run.forecast.matrices}
    turned = [
        np.abs(matrix @ axes[name]) > TURNED * np.linalg.norm(matrix, axis=1)
        for name, matrix in (("value1", now["value"]), ("mlp_in1", now["hidden"]))
    ]
    outer = np.asarray(model.blocks[0].mlp_out, float)
    state = attention_stage(now["value"].T, now["hidden"].T, outer.T, data.moment).state
    growing = vector_field(state)
    meeting = [np.asarray(state.b * growing.b) > 0, np.asarray(state.a * growing.a) > 0]
    moved = [np.linalg.norm(now[name] - start[name]) / np.linalg.norm(start[name]) for name in ("query", "key")]
    return _FirstStage(float(np.mean(np.hstack(turned))), float(np.mean(np.hstack(meeting))), float(max(moved)))


def _second_stage(run: _Course, data: _Data) -> _SecondStage:
    """From threefold to tenfold keys and queries: their rank, how steady and how near the forecast their directions."""
    threefold, tenfold = run.at_growth(THREEFOLD), run.at_growth(TENFOLD)
    if threefold is None or tenfold is None:
        return _SecondStage(np.nan, np.nan, np.nan)
    collapse = data.collapse(run.models[0])
    before, after = _weights(run.models[threefold]), _weights(run.models[tenfold])
    rank, steady, along = [], [], []
    for name, axis in (("query", collapse.query), ("key", collapse.key)):
        (left, _, right), (its_left, _, its_right) = (np.linalg.svd(at[name]) for at in (before, after))
        rank.append(stable_rank(after[name]))
        steady += [abs(left[:, 0] @ its_left[:, 0]), abs(right[0] @ its_right[0])]
        along.append(abs(its_right[0] @ axis))
    return _SecondStage(max(rank), float(min(steady)), float(min(along)))


def _draw(runs: dict[float, list[_Course]]) -> Figure:
    """The first run of the smallest start."""
    run = runs[min(runs)][0]
    figure = Figure(figsize=(11.4, 4.4), layout="constrained")
    parts: Any = figure.subfigures(1, 2, width_ratios=(0.9, 1.0))
    left, right = parts
    dropped = int(np.searchsorted(run.steps, run.steps[-1] if run.dropped is None else run.dropped))
    tenfold = run.at_growth(TENFOLD)
    times = {"start": 0, "10 % drop": dropped, "keys tenfold": len(run.steps) - 1 if tenfold is None else tenfold}
    maps = left.subplots(len(times), len(COLORS))
    for panel, (name, color) in zip(maps[0], COLORS.items(), strict=True):
        panel.set_title(name, color=color)
    for row, (when, at) in zip(maps, times.items(), strict=True):
        for panel, matrix in zip(row, _weights(run.models[at]).values(), strict=True):
            image = cosine_map(panel, cosine_similarity(matrix))
        row[0].set_ylabel(when)
    left.colorbar(image, ax=maps, shrink=0.7, label="cosine of units")
    change, rank = right.subplots(1, 2)
    start = _weights(run.models[0])
    # Before, on the plateau, nothing is seen.
    seen = np.flatnonzero(run.steps >= 0.8 * run.steps[dropped]).tolist()
    along: dict[str, list[tuple[float, float]]] = {name: [] for name in COLORS}
    for at in seen:
        for name, matrix in _weights(run.models[at]).items():
            moved = np.linalg.norm(matrix - start[name]) / np.linalg.norm(start[name])
            along[name].append((float(moved), effective_rank(matrix)))
    for name, color in COLORS.items():
        for panel, curve in zip((change, rank), np.transpose(along[name]), strict=True):
            panel.plot(run.steps[seen], curve, color=color, lw=1.2, label=name)
    _mark(change, run)
    _mark(rank, run)
    change.set(yscale="log", xlabel="step", ylabel="change over the norm at the start")
    change.set_title("Dotted: stages forecast before training")
    legend(change, loc="lower right")
    rank.set(xlabel="step", ylabel="effective rank", ylim=(0.8, None))
    return figure


def _mark(panel: Axes, run: _Course) -> None:
    quiet(panel)
    for expected, _, _ in run.compared():
        if expected is not None:
            panel.axvline(expected.estimate, color="0.4", lw=1, ls=":")


EXPERIMENT = Experiment(
    name="two-stages",
    claim="A one-layer transformer from a small start learns in two stages: values and hidden neurons condense while "
    "keys and queries rest and attention averages evenly; then keys and queries grow along one direction each and "
    "become rank one.",
    source="Chen and Luo 2025, arXiv 2510.06954; the forecasts of steps and directions: docs/theory.md",
    setting="one causal attention layer of one head with {units} units and a hidden layer of {hidden}, tanh, no "
    "residual stream, norm or biases, epsilon in {epsilons}, float64, gradient descent at rate {learning_rate}; "
    "anchor-single:length=3,items=20 of {rows} rows, of which four fifths are for training, with fixed orthonormal "
    "vectors for tokens and positions, and the answer as one amount; {seeds} seeds from 0; the first stage is read "
    "where the loss has fallen by 10 %, the second from three to ten times the norm of keys and queries together",
    criteria=(
        Criterion(
            "10 % drop: values and hidden neurons with |cos| > 0.9 to the forecast axis, worst run", "at least", 0.95
        ),
        Criterion("units that meet the sign condition there, worst run", "at least", 0.95),
        Criterion("change of keys and queries up to there, over their norm, largest", "at most", 0.1),
        Criterion("keys and queries at ten times their norm: stable rank, largest", "at most", 1.1),
        Criterion("|cos| of their leading singular vectors then with those at three times, least", "at least", 0.95),
        Criterion("|cos| of their leading directions then with those forecast from the data, least", "at least", 0.9),
        Criterion("forecasts of the 10 % drop and of doubled keys, relative error, median", "at most", 0.03),
        Criterion("intervals declared in the regime that hold, share", "at least", 0.9),
    ),
    # At 0.005 every seventh unit still lags behind at the drop.
    quick=Size(units=12, hidden=30, epsilons=(0.00125,), seeds=2, rows=300, learning_rate=0.1),
    full=Size(units=12, hidden=50, epsilons=(0.00125, 0.000625), seeds=3, rows=400, learning_rate=0.1),
    measure=measure,
)
