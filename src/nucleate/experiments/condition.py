"""Whoever meets the condition condenses."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.figures import panels
from nucleate.figures.style import BLUE, ORANGE, legend
from nucleate.theory import Conditions, condensation, states_at_times

LABELS = Conditions("S1b: inputs grow", "S1: all grow", "F: balance", "S2: signs")
CERTIFICATES = tuple(map(LABELS._fields.index, ("certified_by_balance", "certified_by_signs")))
# A state that meets a condition just there, but for rounding, meets it when this share of the time left has passed.
LATER = 1e-3


class Size(NamedTuple):
    states: int
    width: int
    threshold: float


class _Followed(NamedTuple):
    """For each state and condition: whether and when it was met, and what its neurons did from there on."""

    met: Bool[np.ndarray, "states conditions"]
    remaining: Float[np.ndarray, "states conditions"]
    kept_sides: Bool[np.ndarray, "states conditions"]
    condensed: Bool[np.ndarray, "states 1"]


def measure(size: Size, progress: ShareDone) -> Measurement:
    rng, m = np.random.default_rng(0), size.width
    rows = []
    for state in range(size.states):
        layers = [rng.standard_normal(shape) for shape in ((m,), (m, m), (m,))]
        rows.append(_follow(layers, np.abs(rng.standard_normal(m)), size.threshold))
        progress((state + 1) / size.states)
    followed = _Followed(*map(np.array, zip(*rows, strict=True)))

    sound = followed.condensed & followed.kept_sides
    numbers = (
        float(followed.met[:, CERTIFICATES].all(axis=1).mean()),
        *(float(sound[followed.met[:, which], which].mean()) for which in CERTIFICATES),
    )
    return Measurement(numbers, _draw(followed))


def _follow(layers: list[Float[np.ndarray, "..."]], orthogonal: Float[np.ndarray, " m"], threshold: float) -> _Followed:
    a, W2, b = layers
    found = condensation(a, W2, b, orthogonal, threshold=threshold)
    blowup = float(found.blowup.estimate)
    remaining = np.array([float(times.remaining) for times in found.first])
    met = np.isfinite(remaining)
    times = blowup - np.where(met, remaining, blowup) * (1 - LATER)
    b = states_at_times(layers, np.minimum(times, blowup * (1 - 1e-8))).layers[2]
    return _Followed(
        met,
        remaining / blowup,
        (np.sign(b) == found.sides).all(axis=1),
        np.array([np.isfinite(found.aligned.time).all()]),
    )


def _draw(followed: _Followed) -> Figure:
    figure, (when, what) = panels(2, width=4.0)
    styles = [(BLUE if which in CERTIFICATES else ORANGE, "-" if which % 2 else "--") for which in range(len(LABELS))]
    for which, (label, (color, line)) in enumerate(zip(LABELS, styles, strict=True)):
        left = np.sort(followed.remaining[followed.met[:, which], which])
        when.plot(left, 1 - np.arange(len(left)) / len(left), color=color, ls=line, label=label)
    when.set(xlabel="share of the time left until the blow-up", ylabel="share of the states that meet it", xscale="log")
    when.set_title("When each condition is first met")
    when.invert_xaxis()
    legend(when, loc="lower right")

    broken = [float((~followed.kept_sides[followed.met[:, which], which]).mean()) for which in range(len(LABELS))]
    names = [label.replace(": ", "\n") for label in LABELS]
    bars = what.bar(names, np.multiply(broken, 100), color=[color for color, _ in styles])
    what.bar_label(bars, fmt="{:.1f} %", padding=2)
    what.set(ylabel="% of the states", ylim=(0, 120 * max([*broken, 0.01])), title="A neuron changes side afterwards")
    what.grid(axis="x", visible=False)
    return figure


EXPERIMENT = Experiment(
    name="condition",
    claim="The condition for condensation is sufficient: from every state that meets it all neurons of the first layer "
    "condense, each on the side it has then.",
    source="Chen and Luo 2024, arXiv 2402.15958, for the idea of a sign condition; F and S2: docs/theory.md",
    setting="{states} Gaussian states of width {width}, drawn with seed 0, followed to their blow-up; condensed: "
    "|cos| to the target direction above {threshold} for good",
    criteria=(
        Criterion("share of the states that meet both certificates before the blow-up", "at least", 0.99),
        Criterion("share of those meeting F whose neurons all condense and keep their sides", "at least", 1.0),
        Criterion("share of those meeting S2 whose neurons all condense and keep their sides", "at least", 1.0),
    ),
    quick=Size(states=1000, width=5, threshold=0.99),
    full=Size(states=10_000, width=10, threshold=0.99),
    measure=measure,
)
