"""The eps of RMS norm hides what a small start gains in a small language model."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nucleate.architectures import Transformer
from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.experiments.generalization import standard_error, upper
from nucleate.figures import panels
from nucleate.figures.style import BLUE, GREEN, GREY, ORANGE, legend
from nucleate.init_scale import InitScale
from nucleate.observe import Measure
from nucleate.problems import Loss, Problem, Split
from nucleate.training import Run, train_many

WINDOW = 24
STANDARD, SMALL = 0.5, 1.5
TINY, LARGE = 1e-12, 0.01
COLORS = {TINY: BLUE, 1e-5: GREEN, LARGE: ORANGE}
NEURONS = Measure("effective_neurons", lambda layer, start: layer.effective_neurons)


class Size(NamedTuple):
    layers: int
    width: int
    rates: tuple[float, ...]
    epsilons: tuple[float, ...]
    seeds: int
    characters: int
    steps: int
    batch: int
    learning_rate: float


Runs = dict[tuple[float, float], list[Run]]
"""By eps and initialization rate, a run a seed."""


def measure(size: Size, progress: ShareDone) -> Measurement:
    text, runs = _problem(size.characters), Runs()
    for done, eps in enumerate(size.epsilons, start=1):
        runs |= _train(text, eps, size)
        progress(done / len(size.epsilons))
    change = {eps: _best(runs[eps, SMALL]) / _best(runs[eps, STANDARD]) - 1 for eps in size.epsilons}
    neurons = [
        min(_neurons(small)) / min(_neurons(standard))
        for small, standard in zip(runs[TINY, SMALL], runs[TINY, STANDARD], strict=True)
    ]
    numbers = (upper(change[TINY]), upper(change[TINY] - change[LARGE]), max(neurons))
    return Measurement(tuple(map(float, numbers)), _draw(runs, change, size))


def story(rng: np.random.Generator, length: int) -> str:
    """Sentences of who had how many, what was done, and how many that makes."""
    names = ("ana", "bo", "cleo", "dan", "eve", "finn", "gus", "hal", "ida", "jo", "kim", "leo")
    gains = {"got": 1, "won": 1, "lost": -1, "ate": -1}
    told = ""
    while len(told) < length:
        verb = rng.choice([*gains])
        had, more = rng.integers(10, size=2)
        told += f"{rng.choice(names)} had {had + 9}, {verb} {more}: {had + 9 + gains[verb] * more}. "
    return told[:length]


def _cost(outputs: Float[Array, "n c"], y: Float[Array, "n c"]) -> Float[Array, " n"]:
    """Cross-entropy of the next character, the mean over the window."""
    logits, true = (part.reshape(len(y), WINDOW, -1) for part in (outputs, y))
    return -jnp.mean(jnp.sum(true * jax.nn.log_softmax(logits, axis=2), axis=2), axis=1)


NEXT_CHARACTER = Loss("next-character", _cost)


def _problem(characters: int) -> Problem:
    """Windows of a text, and behind each character the next; a text of its own for validation."""
    rng = np.random.default_rng(0)
    texts = [story(rng, characters), story(rng, characters // 4)]
    alphabet = sorted(set("".join(texts)))
    numbers = {character: number for number, character in enumerate(alphabet)}
    parts = []
    for told in texts:
        tokens = np.array([numbers[character] for character in told])
        starts = np.arange(0, len(tokens) - WINDOW, WINDOW)[:, None] + np.arange(WINDOW)
        follows = np.eye(len(alphabet))[tokens[starts + 1]]
        parts.append(Split(tokens[starts].astype(float), follows.reshape(len(starts), -1)))
    train, validation = parts
    # The problem of the last character is one for all but its targets.
    last = Problem.from_arrays(train.x, train.x[:, -1], name="story", task="regression", standardize=False)
    return replace(last, loss=NEXT_CHARACTER, train=train, validation=validation, test=validation)


def _train(text: Problem, eps: float, size: Size) -> Runs:
    tokens = text.outputs // WINDOW
    cells = [(rate, seed) for rate in size.rates for seed in range(size.seeds)]
    models = [
        Transformer.create(
            (WINDOW,),
            text.outputs,
            tokens=tokens,
            scale=InitScale("fan_in_gamma", rate),
            layers=size.layers,
            heads=2,
            width=size.width,
            mlp=2 * size.width,
            norm="rms",
            eps=eps,
            readout="every",
            activation="gelu",
            seed=seed,
        )
        for rate, seed in cells
    ]
    runs = train_many(
        models,
        text,
        learning_rates=[size.learning_rate] * len(cells),
        seeds=[seed for _, seed in cells],
        optimizer="adam",
        schedule="cosine",
        warmup=size.steps // 20,
        steps=size.steps,
        batch_size=size.batch,
        evaluations=16,
        measures=(NEURONS,),
    )
    return {(eps, rate): [run for (its, _), run in zip(cells, runs, strict=True) if its == rate] for rate in size.rates}


def _best(runs: list[Run]) -> Float[np.ndarray, " seeds"]:
    """The lowest validation loss of each run."""
    return np.array([run.trajectory["validation_loss"].min() for run in runs])


def _neurons(run: Run) -> Float[np.ndarray, " t"]:
    """As how many the hidden neurons work, the mean over layers, as a share of their number."""
    columns = [name for name in run.trajectory.columns if name.startswith("effective_neurons_mlp_in")]
    width = len(run.final.blocks[0].mlp_in)
    return run.trajectory.select(columns).to_numpy().mean(axis=1) / width


def _draw(runs: Runs, change: dict[float, Float[np.ndarray, " seeds"]], size: Size) -> Figure:
    figure, (levels, pairs, neurons) = panels(3, width=3.4)
    for place, eps in enumerate(size.epsilons):
        color = COLORS[eps]
        best = np.array([_best(runs[eps, rate]) for rate in size.rates])
        levels.plot(size.rates, best.mean(axis=1), "o-", ms=4, color=color, label=f"eps {eps:g}")
        levels.plot(size.rates, best, ".", ms=3, color=color, alpha=0.6)
        of_seeds = 100 * change[eps]
        pairs.plot(place + np.linspace(-0.12, 0.12, len(of_seeds)), of_seeds, "o", ms=3, color="0.6")
        pairs.errorbar([place], of_seeds.mean(), 2 * standard_error(of_seeds), color=color, marker="D", capsize=4)
        _course(neurons, runs[eps, SMALL][0], color, f"rate {SMALL:g}, eps {eps:g}")
    _course(neurons, runs[TINY, STANDARD][0], GREY, f"rate {STANDARD:g}, eps {TINY:g}")
    levels.set(xlabel=r"initialization rate $\gamma$", ylabel="best validation loss", xticks=size.rates)
    levels.set_title(r"std = fan-in$^{-\gamma}$")
    legend(levels)
    pairs.axhline(0, color="0.3", lw=0.8)
    pairs.set(xlabel="eps", ylabel="small against standard, %", xlim=(-0.5, len(change) - 0.5))
    pairs.set_title("change of the best validation loss")
    pairs.set_xticks(range(len(change)), [f"{eps:g}" for eps in change])
    neurons.set(xlabel="step + 1", ylabel="effective hidden neurons", xscale="log", ylim=(0, 1.45))
    neurons.set_title("as a share of their number")
    legend(neurons, loc="upper right")
    return figure


def _course(panel: Axes, run: Run, color: str, label: str) -> None:
    panel.plot(run.trajectory["step"].to_numpy() + 1, _neurons(run), color=color, lw=1.2, label=label)


EXPERIMENT = Experiment(
    name="norm-eps",
    claim="The eps of RMS norm hides what a small start gains in a small language model: with a tiny eps its "
    "validation loss is lower than from the standard start, with one above the mean square of the small embedding that "
    "gain is lost.",
    source="Hang et al. 2026, arXiv 2606.17945, for the idea; model, text and sizes are from here",
    setting="causal transformers of {layers} layer(s), width {width}, two heads, hidden layers of twice the width, "
    "GELU, RMS norm, std = fan_in^-gamma with gamma in {rates}, eps in {epsilons} (0.01 is to the embedding from gamma "
    "1.5 here as 1e-5 is to one of width 2048 from gamma 1); the next character of {characters} characters of made-up "
    "sums in sentences, in windows of 24; Adam at rate {learning_rate} with a warm-up and a cosine, batches of "
    "{batch}, {steps} steps, {seeds} seeds from 0; small: gamma 1.5, standard: 0.5; bounds are means of paired "
    "relative changes plus two standard errors",
    criteria=(
        Criterion("eps 1e-12: change of the best validation loss, small against standard, upper bound", "at most", 0.0),
        Criterion("that change less the one with eps 0.01, upper bound", "at most", 0.0),
        Criterion(
            "eps 1e-12: effective hidden neurons, least along the run, small over standard, largest", "at most", 0.5
        ),
    ),
    quick=Size(1, 24, (0.5, 1.5), (TINY, LARGE), 3, 12_000, 600, 16, 3e-3),
    full=Size(2, 24, (0.5, 1.0, 1.5), tuple(COLORS), 4, 24_000, 800, 16, 3e-3),
    measure=measure,
)
