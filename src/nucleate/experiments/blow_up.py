"""Three layers blow up in finite time, two do not."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.figures import panels
from nucleate.figures.style import BLUE, GREY, ORANGE, legend
from nucleate.theory import State, blowup_time, energy, states_at_fractions, states_at_times

# Fractions of the blow-up time, dense towards it.
FRACTIONS = 1 - np.geomspace(1, 1e-4, 60)
TWO_LAYER_TIMES = np.linspace(0, 20, 41)


class Size(NamedTuple):
    states: int
    width: int
    trajectories: int


class Way(NamedTuple):
    """A state on its way to the blow-up."""

    size: Float[np.ndarray, " t"]
    energy: Float[np.ndarray, " t"]
    remaining: Float[np.ndarray, " t"]

    def fall(self) -> Float[np.ndarray, " n"]:
        """How fast E^(-1/3) falls from point to point: E' = 3 E^(4/3) is a rate of one."""
        # The bound is about positive energies; a random state may start below.
        positive = self.energy > 0
        return np.diff(np.cbrt(1 / self.energy[positive])) / np.diff(self.remaining[positive])


def measure(size: Size, progress: ShareDone) -> Measurement:
    rng = np.random.default_rng(0)
    m, count = size.width, size.states
    ensemble = [rng.standard_normal(shape) for shape in ((count, m), (count, m, m), (count, m))]
    blowup = blowup_time(*ensemble)
    progress(0.3)

    ways = []
    for index in range(size.trajectories):
        ways.append(_follow([layer[index] for layer in ensemble]))
        progress(0.3 + 0.7 * (index + 1) / size.trajectories)
    fall = min(float(way.fall().min()) for way in ways)

    two = states_at_times([ensemble[0][0], ensemble[2][0]], TWO_LAYER_TIMES)
    two_size = _length(two.layers)
    rate = float(np.diff(np.log(two_size))[-1] / np.diff(TWO_LAYER_TIMES)[-1])

    numbers = (float(np.isfinite(blowup.upper).mean()), fall, abs(rate - 1))
    return Measurement(numbers, _draw(ways, two_size))


def _follow(layers: list[Float[np.ndarray, "..."]]) -> Way:
    blowup = float(blowup_time(*layers).estimate)
    trajectory = states_at_fractions(layers, FRACTIONS)
    energies = np.array([energy(State(*state)) for state in zip(*trajectory.layers, strict=True)])
    return Way(_length(trajectory.layers), energies, blowup - trajectory.times)


def _length(layers: Sequence[Float[np.ndarray, "t ..."]]) -> Float[np.ndarray, " t"]:
    return np.sqrt([sum(np.sum(layer**2) for layer in state) for state in zip(*layers, strict=True)])


def _draw(ways: list[Way], two_size: Float[np.ndarray, " t"]) -> Figure:
    figure, (growth, bound, contrast) = panels(3)
    for way in ways:
        share = 1 - way.remaining / way.remaining[0]
        growth.plot(share, way.size, color=BLUE, lw=0.8, alpha=0.6)
        bound.plot(way.remaining / way.remaining[0], way.energy * way.remaining**3, color=BLUE, lw=0.8, alpha=0.6)
    growth.set(xlabel="time / blow-up time", ylabel=r"$|\theta|$", yscale="log", title="Three layers blow up")
    bound.axhline(1, color=ORANGE, lw=1.2, label=r"bound $E \leq (T^* - t)^{-3}$")
    bound.set(xlabel="share of the time left", ylabel=r"$E\,(T^* - t)^3$", xscale="log", title="Energy and its bound")
    bound.invert_xaxis()
    legend(bound, loc="lower right")
    contrast.plot(TWO_LAYER_TIMES, two_size, color=BLUE)
    asymptote = two_size[-1] * np.exp(TWO_LAYER_TIMES - TWO_LAYER_TIMES[-1])
    contrast.plot(TWO_LAYER_TIMES, asymptote, color=GREY, ls="--", label=r"$\propto e^t$")
    contrast.set(xlabel="time", ylabel=r"$|\theta|$", yscale="log", title="Two layers grow exponentially")
    legend(contrast)
    return figure


EXPERIMENT = Experiment(
    name="blow-up",
    claim="The effective dynamics of three layers blows up in finite time, its energy E growing at least as "
    "E' = 3 E^(4/3); that of two layers grows exponentially and never does.",
    source="Chen and Luo 2024, arXiv 2402.15958; the constant of the energy bound: docs/theory.md",
    setting="{states} Gaussian states of width {width}, drawn with seed 0; the energy along {trajectories} of them up "
    "to 0.9999 of the blow-up time; one two-layer state up to time 20",
    criteria=(
        Criterion("share of the states with a finite upper bound of the blow-up time", "at least", 1.0),
        Criterion("slowest fall of E^(-1/3), over the time it takes, where E > 0", "at least", 1 - 1e-6),
        Criterion("distance of the two-layer growth rate from 1", "at most", 1e-3),
    ),
    quick=Size(states=200, width=20, trajectories=10),
    full=Size(states=1000, width=50, trajectories=40),
    measure=measure,
)
