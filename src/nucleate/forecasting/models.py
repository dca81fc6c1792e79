"""Forecasts of models that are no fully connected networks: convolutions, transformers, and any other.

What is stepped is the model near zero: in closed form where the package knows it, else as `nucleate.theory.near_zero`
reads it off. The departure of the model itself from that corrects and judges it, as it does a network's.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from nucleate.architectures import Transformer, closed_form
from nucleate.architectures.model import wide
from nucleate.architectures.near_zero import EvenTransformer, check_closed_form
from nucleate.devices import for_each
from nucleate.errors import ArchitectureError, SpecError
from nucleate.forecasting.departure import WeightedRows, departures, mean_cost
from nucleate.forecasting.expected import Forecast, KeyForecast, MatrixForecast
from nucleate.forecasting.judgement import (
    LARGEST_ACROSS,
    LARGEST_CORRECTION,
    SHORTEST_PLATEAU,
    PathReading,
    corrected_clock,
    mean_until,
    step_between,
)
from nucleate.forecasting.leading import each_of, spaced_rows
from nucleate.forecasting.paths import Asked, Paths
from nucleate.models import take_apart
from nucleate.theory import NearZero, near_zero
from nucleate.training import Rule, engine

RANK_ONE = 0.9
"""A matrix has condensed when its first singular direction has this share of its squared norm."""
_GROWN = 2.0
"""Keys and queries have grown when the norm of both together is so many times that of the start."""
_PATIENCE = 10
"""Keys and queries are followed to so many times the end of the first descent."""
_ON_THE_WAY = 16
_STILL = 1e-4


def near_zero_of(models: Sequence[Any], x: Float[np.ndarray, "n d"]) -> list[Any]:
    """The models near zero, all of one architecture; parameters as they are."""
    try:
        closed = [closed_form(model) for model in models]
        if closed[0] is not None:
            if hasattr(models[0], "near_zero"):
                check_closed_form(models[0], x)
            return closed
        found = [near_zero(model, x) for model in models]
    except ArchitectureError as error:
        raise SpecError(f"No forecast can be made: {error}") from None
    shared = {(one.degree, one.lowest) for one in found}
    if len(shared) > 1:
        degrees = " and ".join(sorted(str(degree) for degree, _ in shared))
        raise SpecError(
            f"At these starts the models lead at degrees {degrees} of their parameters, so they are not of one kind; "
            "forecast them apart."
        )
    # What is read at a smaller norm is read at a larger one too.
    reach = min(one.reach for one in found)
    return [replace(one, reach=reach) for one in found]


def forecast_models(models: Sequence[Any], asked: Asked, keys: bool) -> list[Forecast]:
    """As `forecast_many`, of models that are no `Network`; with ``keys`` also when keys and queries grow."""
    train = asked.problem.train
    rows = spaced_rows(len(train.x))
    some = train.only(rows)
    leads = near_zero_of(models, some.x)
    simulation = asked.simulate(leads, train if asked.in_batches else some, some)
    own, lead = asked.program(models[0]), asked.program(leads[0])
    own_rows, lead_rows = (WeightedRows.of(train, each_of(of, train.weights)) for of in (np.arange(len(train.x)), rows))

    def restored(states: Sequence[Any]) -> list[Any]:
        return [own.frame(wide(take_apart(state)[0])) for state in states]

    paths = Paths.follow(
        asked,
        simulation,
        restored,
        lambda followed: departures(own, lead, followed, own_rows, lead_rows, asked.weight_decays),
    )
    grows: list[tuple[KeyForecast, ...]] = [()] * len(models)
    if keys and not asked.keeps_pace and isinstance(leads[0], EvenTransformer):
        grows = _growth_of_keys(paths, restored, (own, lead, own_rows, lead_rows))
    judgements = paths.judge()
    if asked.keeps_pace and isinstance(leads[0], NearZero):
        # Under such an optimizer what the model near zero leaves still moves as far as all else.
        judgements = [one._replace(in_regime=False) for one in judgements]
    nothing: Any = np.empty((0, 0))
    return paths.forecasts(
        judgements,
        [
            {
                "decays_away": False,
                "target_directions": nothing,
                "candidates": nothing,
                "matrices": _matrices(paths, run, judgement.correction),
                "keys": grows[run],
            }
            for run, judgement in enumerate(judgements)
        ],
    )


def matrices_of(model: Any) -> dict[str, Float[np.ndarray, "m k"]]:
    """The matrices of a model by name, a row a unit; of a model of one's own, every array of two axes or more."""
    named: dict[str, Any] = {}
    if hasattr(model, "kinds"):
        for name, given in model.kinds.items():
            several = given if isinstance(given, tuple) else (given,)
            alone = not isinstance(given, tuple) or name in ("embedding", "position", "unembedding")
            named |= {name if alone else f"{name}{place}": matrix for place, matrix in enumerate(several, 1)}
    else:
        leaves = jax.tree_util.tree_leaves_with_path(take_apart(model)[0])
        named = {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in leaves if np.ndim(leaf) > 1}
    return {name: np.asarray(matrix, float).reshape(len(matrix), -1) for name, matrix in named.items()}


def same_axis(one: Float[np.ndarray, " k"], matrix: Float[np.ndarray, "m k"]) -> float:
    """``|cos|`` between a direction and the leading right singular vector of a matrix."""
    return float(abs(_singular(matrix)[2] @ one))


def norm_of_keys(model: Transformer, block: int) -> float:
    """The norm of a block's queries and keys together."""
    found = model.blocks[block]
    return float(np.hypot(np.linalg.norm(found.query), np.linalg.norm(found.key)))


def _singular(matrix: Float[np.ndarray, "m k"]) -> tuple[np.ndarray, float, np.ndarray]:
    """The leading left and right singular vectors, and the first value's share of the squared norm between them."""
    left, values, right = np.linalg.svd(np.nan_to_num(matrix), full_matrices=False)
    total = float(np.sum(values**2))
    return left[:, 0], float(values[0] ** 2) / total if total > 0 else 1.0, right[0]


def _matrices(paths: Paths, run: int, correction: float) -> tuple[MatrixForecast, ...]:
    """How each matrix of more than one row and column condenses along the path of a run."""
    if (turned := paths.turned(run)) is None:
        return ()
    by_point = [matrices_of(at[run]) for at in paths.followed[: turned + 1]]
    points = paths.points[run][: turned + 1]
    later = 1 + (correction if np.isfinite(correction) else 0.0)
    found = []
    for name, matrix in by_point[-1].items():
        moved = np.linalg.norm(matrix - by_point[0][name])
        # What the model near zero leaves where it is, it says nothing of.
        if min(matrix.shape) == 1 or moved < _STILL * np.linalg.norm(matrix):
            continue
        shares = np.array([_singular(at[name])[1] for at in by_point])
        below = np.flatnonzero(shares < RANK_ONE)
        first = 0 if not below.size else int(below[-1]) + 1
        condenses: int | None = None
        if first < len(shares):
            between = (shares[first - 1 : first + 1], points[first - 1 : first + 1]) if first else ([RANK_ONE], [0])
            condenses = int(np.ceil(later * np.interp(RANK_ONE, *between)))
        outgoing, share, incoming = _singular(matrix)
        found.append(MatrixForecast(name, incoming, outgoing, share, condenses))
    return tuple(found)


def _growth_of_keys(
    paths: Paths,
    restored: Callable[[Sequence[Any]], list[Any]],
    both: tuple[engine.Program, engine.Program, WeightedRows, WeightedRows],
) -> list[tuple[KeyForecast, ...]]:
    """For every run and block, when the norm of keys and queries has doubled.

    Both are the programs of the model itself and of the model near zero, and the rows on which they are compared.
    """
    simulation, asked = paths.simulation, paths.asked
    # A run that stays on its plateau has no second stage.
    limits = [
        min(asked.horizon, _PATIENCE * int(end)) if fallen[0] >= 0 else 0
        for end, fallen in zip(paths.left_at, paths.drops, strict=True)
    ]
    blocks = range(len(paths.followed[0][0].blocks))
    seen: list[list[tuple[int, list[float]]]] = [[] for _ in limits]

    def see(run: int, step: int, state: Any) -> bool:
        norms = [norm_of_keys(state, block) for block in blocks]
        seen[run].append((step, norms))
        grown = np.divide(norms, seen[run][0][1])
        return bool(step < limits[run] and np.isfinite(grown).all() and grown.min() < _GROWN)

    simulation.walk(see, max(limits), apart=0.05)
    crossings = np.array(
        [
            [growth_step(steps, norms / norms[0], _GROWN) for norms in np.transpose(norms_at)]
            for steps, norms_at in (map(np.array, zip(*run, strict=True)) for run in seen)
        ],
        float,
    )
    ends = [int(np.nanmax(run)) if np.isfinite(run).any() else 1 for run in crossings]
    points = np.array([np.linspace(0, end, _ON_THE_WAY).round().astype(int) for end in ends])
    found: list[list[KeyForecast]] = [[] for _ in limits]
    states = [restored(at) for at, _ in simulation.states_at(points)]
    for block in blocks:
        # How fast they move in the model itself, where the model near zero is.
        seen_at = [for_each(_speed_of_keys, [take_apart(one)[0] for one in at], block, *both) for at in states]
        for run, crossing in enumerate(crossings[:, block]):
            reading = PathReading(
                points[run],
                np.zeros(len(points[run])),
                np.array([float(at[run].speed) for at in seen_at]),
                np.array([float(at[run].across) for at in seen_at]),
            )
            nearest = int(np.argmin(np.abs(points[run] - crossing))) if np.isfinite(crossing) else -1
            found[run].append(_judged_keys(block, crossing, reading, states[nearest][run], asked.rule))
    return [tuple(one) for one in found]


def growth_step(steps: Int[np.ndarray, " t"], grown: Float[np.ndarray, " t"], times: float) -> float | None:
    """The step at which a norm had grown so many times, between two by its logarithm; None if it did not."""
    beyond = np.flatnonzero(grown >= times)
    if not beyond.size:
        return None
    between = slice(max(int(beyond[0]) - 1, 0), int(beyond[0]) + 1)
    return float(np.interp(np.log(times), np.log(grown[between]), steps[between]))


def _judged_keys(block: int, crossing: float, reading: PathReading, there: Transformer, rule: Rule) -> KeyForecast:
    one = there.blocks[block]
    query, key = _singular(np.asarray(one.query))[2], _singular(np.asarray(one.key))[2]
    bend = mean_until(reading.points, reading.across, int(crossing)) if np.isfinite(crossing) else np.inf
    if not np.isfinite(bend):
        return KeyForecast(block + 1, None, False, query, key)
    clock = corrected_clock(reading, rule)
    estimate = float(np.interp(crossing, reading.points, clock))
    # Twice that of a drop, and 2 %: where the first stage settles is not in the speed of the keys.
    margin = 1 + abs(estimate - crossing) + (0.5 * bend + 0.02) * estimate
    step = step_between(estimate, crossing, margin)
    correction = abs(estimate / crossing - 1)
    in_regime = crossing >= SHORTEST_PLATEAU and correction <= LARGEST_CORRECTION and bend <= LARGEST_ACROSS
    return KeyForecast(block + 1, step, bool(in_regime), query, key)


class _Speed(NamedTuple):
    speed: Float[Array, ""]
    across: Float[Array, ""]


@partial(jax.jit, static_argnames=("block", "own", "lead"))
def _speed_of_keys(
    parameters: Any,
    block: int,
    own: engine.Program,
    lead: engine.Program,
    own_rows: WeightedRows,
    lead_rows: WeightedRows,
) -> _Speed:
    def pull(program: engine.Program, rows: WeightedRows) -> Float[Array, " k"]:
        of_block = own.frame(jax.grad(mean_cost)(parameters, program, rows)).blocks[block]
        return jnp.concatenate([of_block.query.ravel(), of_block.key.ravel()])

    mine, leading = pull(own, own_rows), pull(lead, lead_rows)
    square = leading @ leading
    speed = jnp.where(square > 0, mine @ leading / jnp.where(square > 0, square, 1.0), 1.0)
    size = jnp.sqrt(jnp.where(square > 0, square, 1.0))
    return _Speed(speed, jnp.linalg.norm(mine - speed * leading) / size)
