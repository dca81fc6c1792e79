"""Beyond the first descent: the further stairs that the linear part makes, each with its steps and its own regime.

A deep linear network under the squared loss learns one output mode after the other: the modes are the eigenvectors of
the second moment of the best linear fit, and of the saddles between them the losses are known. The leading flow does
not end with the first descent, so it is let run on. Once neurons have grown, though, the network's own gradient is
another one, and what it has more is measured on the way and added: the path so corrected gives the step, and how far it
is from the uncorrected one the interval and the regime (derived here, docs/theory.md).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from nucleate.activations import Activation
from nucleate.errors import SpecError
from nucleate.forecasting.expected import Stair, StepForecast
from nucleate.forecasting.judgement import LARGEST_CORRECTION, SHORTEST_PLATEAU, step_between
from nucleate.forecasting.leading import Sample, each_of
from nucleate.forecasting.simulation import Simulation
from nucleate.network import Network
from nucleate.observe import alignment, neurons
from nucleate.problems import Loss, Problem
from nucleate.theory import singular_directions
from nucleate.training import engine

BEGUN, DONE = 0.1, 0.9
"""A stair has begun, and is done, when so much of its mode is fitted."""
APART = 0.03
"""The corrected path is corrected anew after this share of its steps at the latest."""
LEAST = engine.DROPS[0]
"""A mode that lowers the plateau's loss by a smaller share is no stair."""


class Modes(NamedTuple):
    """What the best linear fit consists of, strongest first.

    ``outputs`` are orthonormal. The amplitude of mode k in a network ``f`` is ``sum_i shares[i, k] <outputs[k],
    f(x_i)>``: 1 for the best linear fit. ``base`` are the outputs on the plateau, ``fit`` what the best linear fit
    adds to them, and ``falls`` what each mode takes off the loss, which is ``plateau`` without any.
    """

    outputs: Float[np.ndarray, "k c"]
    shares: Float[np.ndarray, "n k"]
    falls: Float[np.ndarray, " k"]
    base: Float[np.ndarray, " c"]
    fit: Float[np.ndarray, "n c"]
    plateau: float

    def amplitudes(self, outputs: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " k"]:
        """Of each mode, how much a network with these outputs on the training rows has of it."""
        amounts: np.ndarray = np.sum(self.shares * (outputs @ self.outputs.T), axis=0)
        return amounts

    def of_rows(self, sample: Sample) -> "Modes":
        """The same estimated from some of the rows, each of which stands for as much as it weighs."""
        weighed = self.fit[sample.rows] @ self.outputs.T / (2 * self.falls)
        return self._replace(shares=sample.weights[:, None] * weighed)


class Course(NamedTuple):
    """For each run the steps at which it was seen, the amplitudes of the modes there, and its network as each was done.

    Modes that are not yet done have no network.
    """

    steps: list[list[int]]
    amplitudes: list[list[Float[np.ndarray, " k"]]]
    done: list[dict[int, Network]]

    def crossings(self, run: int) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        """The steps at which the modes of a run begin and are done."""
        steps, amplitudes = self.steps[run], self.amplitudes[run]
        return crossing(steps, amplitudes, BEGUN), crossing(steps, amplitudes, DONE)


def refuse_stairs(activation: Activation, loss: Loss, decays: bool) -> None:
    """Refuse all but a linear leading part under the squared loss, whose stairs these are."""
    if not activation.slope:
        raise SpecError(
            f"Stairs are forecast where the leading part is linear; {activation.name} has no slope at zero, so only "
            "its first descent is forecast. Leave the stairs out, or train to see."
        )
    if not loss.is_quadratic:
        raise SpecError(
            f"Stairs are forecast under the squared loss, whose saddles are known; under {loss.name} only the first "
            "descent is forecast. Leave the stairs out, or train to see."
        )
    if decays:
        raise SpecError(
            "Stairs are forecast without weight decay, which moves the saddles between them; with it only the first "
            "descent is forecast. Leave out the stairs or the weight decay."
        )


def linear_modes(problem: Problem, network: Network) -> Modes:
    """The modes of a problem's training rows that lower the plateau's loss by 1 % or more, for networks like this one.

    Its biases decide whether the best linear fit has a constant.
    """
    x, y, weights = problem.train.x.astype(float), problem.train.y.astype(float), problem.train.weights
    each = each_of(np.arange(len(x)), weights).weights
    base = np.zeros(y.shape[1])
    if network.fits_constants:
        base, x = each @ y, x - each @ x
    elif network.biases[0] is not None:
        x = np.column_stack([x, np.ones(len(x))])
    root = np.sqrt(each)[:, None]
    fit = x @ np.linalg.lstsq(root * x, root * (y - base), rcond=None)[0]
    squares, vectors = np.linalg.eigh((root * fit).T @ (root * fit))
    plateau = float(each @ np.sum((y - base) ** 2, axis=1)) / 2
    kept = [mode for mode in np.argsort(-squares) if squares[mode] / 2 >= LEAST * plateau > 0]
    outputs = vectors[:, kept].T
    # An eigenvector's sign is nobody's: the largest component counts as positive.
    outputs *= np.sign(np.take_along_axis(outputs, np.abs(outputs).argmax(axis=1)[:, None], axis=1))
    falls = squares[kept] / 2
    return Modes(outputs, each[:, None] * (fit @ outputs.T) / (2 * falls), falls, base, fit, plateau)


def follow(
    simulation: Simulation,
    horizons: Sequence[int],
    stairs: int,
    amplitudes: Callable[[Network], Float[np.ndarray, " k"]],
    push: Callable[[list[Network]], list[Any]] | None = None,
    *,
    apart: float = APART,
) -> Course:
    """Take every run on until the modes that begin first, as many as stairs are asked for, are done, or to its horizon.

    ``amplitudes`` gives those of the modes in a network of the simulation; ``push`` and ``apart`` are of its walk.
    """
    runs = len(horizons)
    course = Course([[] for _ in range(runs)], [[] for _ in range(runs)], [{} for _ in range(runs)])
    begun: list[list[int]] = [[] for _ in range(runs)]

    def see(run: int, step: int, network: Network) -> bool:
        seen, first = amplitudes(network), begun[run]
        course.steps[run].append(step)
        course.amplitudes[run].append(seen)
        first += [mode for mode in np.flatnonzero(seen >= BEGUN).tolist() if mode not in first]
        for mode in np.flatnonzero(seen >= DONE).tolist():
            course.done[run].setdefault(mode, network)
        climbed = len(first) >= stairs and course.done[run].keys() >= set(first[:stairs])
        return bool(np.isfinite(seen).all()) and step < horizons[run] and not climbed

    simulation.walk(see, max(horizons), push, apart=apart)
    return course


def crossing(
    steps: Sequence[int], amplitudes: Sequence[Float[np.ndarray, " k"]], level: float
) -> Float[np.ndarray, " k"]:
    """The step at which each mode reaches a level, between two by the logarithm; infinity where it does not.

    Examples
    --------
    >>> crossing([0, 10, 20], [np.array([0.01, 0.0]), np.array([0.1, 0.0]), np.array([1.0, 0.0])], 0.1)
    array([10., inf])
    """
    seen = np.nan_to_num(np.array(amplitudes), nan=0.0, posinf=0.0, neginf=0.0)
    found = np.full(seen.shape[1], np.inf)
    for mode, curve in enumerate(seen.T):
        above = np.flatnonzero(curve >= level)
        if not above.size:
            continue
        at = int(above[0])
        found[mode] = steps[at]
        if at > 0:
            before, after = max(curve[at - 1], 1e-3 * level), curve[at]
            share = (np.log(level) - np.log(before)) / (np.log(after) - np.log(before))
            found[mode] = steps[at - 1] + max(float(share), 0.0) * (steps[at] - steps[at - 1])
    return found


def judge_stairs(
    lead: tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]],
    corrected: tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]],
    modes: Modes,
    problem: Problem,
    network: Network,
    reached: dict[int, Network],
    stairs: int,
) -> tuple[Stair, ...]:
    """The stairs of one run in their order, each with the interval and the regime that the correction leaves it.

    The steps at which the modes begin and are done are those on the uncorrected path and on the corrected one, and
    ``reached`` has by mode the network when it was done. The network itself is the run's start.
    """
    order = sorted(range(len(modes.falls)), key=lambda mode: (corrected[0][mode], lead[0][mode], mode))[:stairs]
    y, weights = problem.train.y, problem.train.weights
    outputs = np.broadcast_to(modes.base, y.shape)
    level, in_regime, margin, before = modes.plateau, True, 0.0, np.inf
    made: list[Stair] = []
    for mode in order:
        u = modes.outputs[mode]
        residuals = problem.loss.residual(outputs, y, weights)
        if network.fits_constants:
            residuals = residuals - residuals.mean(axis=0)
        found = singular_directions(network, problem.train.x, residuals)
        outputs = outputs + np.outer(modes.fit @ u, u)
        level -= float(modes.falls[mode])
        ends, _ = _interval(lead[1][mode], corrected[1][mode], before, margin)
        begins, margin = _interval(lead[0][mode], corrected[0][mode], before, margin)
        correction, of_end = (
            float(own[mode] / max(led[mode], 1.0) - 1) if step is not None else np.nan
            for step, own, led in zip((begins, ends), corrected, lead, strict=True)
        )
        before = float(corrected[0][mode])
        # Errors add up from stair to stair: behind one that is out of the regime none is in it.
        in_regime = bool(
            in_regime
            and begins is not None
            and lead[0][mode] >= SHORTEST_PLATEAU
            and abs(correction) <= LARGEST_CORRECTION
        )
        end_in_regime = bool(in_regime and ends is not None and abs(of_end) <= LARGEST_CORRECTION)
        axis, gap, share = found.directions[0], gap_of(found.values), None
        if mode in reached:
            share = joining(reached[mode], axis, [stair.direction for stair in made])
        made.append(Stair(begins, ends, in_regime, end_in_regime, correction, u, axis, gap, share, level))
    return tuple(made)


def gap_of(values: Float[np.ndarray, " k"]) -> float:
    """The second singular value as a share of the first; a moment of zero tells no direction from another."""
    if len(values) == 1:
        return 0.0
    return float(values[1] / values[0]) if values[0] > 0 else 1.0


def _interval(lead: float, corrected: float, before: float, margin: float) -> tuple[StepForecast | None, float]:
    """Between the uncorrected step and the corrected, and beyond both by a margin: that of the stair before and more.

    The more is a step, half of the correction, and what lies between the points of the corrected path since then.
    """
    if not np.isfinite(lead) or not np.isfinite(corrected):
        return None, margin
    margin += 1 + 0.5 * abs(corrected - lead) + APART * max(corrected - before, 0.0)
    return step_between(corrected, lead, margin), margin


def joining(network: Network, direction: Float[np.ndarray, " d"], before: Sequence[Float[np.ndarray, " d"]]) -> float:
    """The share of the first layer's neurons nearer to a stair's direction than to that of any stair before."""
    vectors = neurons(network, 1)
    near = np.abs(alignment(vectors, direction))
    earlier = [np.abs(alignment(vectors, other)) for other in before]
    return float(np.mean(near > np.max(earlier, axis=0))) if earlier else 1.0
