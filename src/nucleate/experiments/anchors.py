"""The initialization rate decides whether a transformer composes anchors it has seen, or answers by symmetry."""

from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nucleate.architectures import Transformer
from nucleate.experiments.experiment import Criterion, Experiment, Measurement, ShareDone
from nucleate.figures import panels
from nucleate.figures.style import BLUE, GREY, ORANGE, legend
from nucleate.init_scale import InitScale
from nucleate.problems import Problem, Split, load_problem
from nucleate.training import Batch, train_many

LENGTH, ITEMS, WIDTH, LAYERS = 5, 10, 32, 2
BEYOND = 4
"""What the answer by symmetry, -6 as for (3, 4), is above the composed one, -10."""
LEARNED = 0.9
"""Below this accuracy on pairs of training, at places held out, the answers to the other pair say nothing."""


class Size(NamedTuple):
    gammas: tuple[float, ...]
    decays: tuple[float, ...]
    seeds: int
    rows: int
    steps: int


class Answers(NamedTuple):
    """Shares over the steps of a run: right on pairs of training; and composed, or by symmetry, on (4, 3)."""

    steps: Float[np.ndarray, " t"]
    learned: Float[np.ndarray, " t"]
    composed: Float[np.ndarray, " t"]
    symmetric: Float[np.ndarray, " t"]


Cells = dict[tuple[float, float], list[Answers]]
"""By initialization rate and weight decay, the answers of a run a seed."""


def measure(size: Size, progress: ShareDone) -> Measurement:
    problem = load_problem(f"anchor-pairs:length={LENGTH},items={ITEMS},rows={size.rows}")
    cells, every = Cells(), list(product(size.gammas, size.decays))
    for done, (gamma, decay) in enumerate(every, start=1):
        cells[gamma, decay] = _train(size, problem, gamma, decay)
        progress(done / len(every))
    small, large = (cells[gamma, max(size.decays)] for gamma in (max(size.gammas), min(size.gammas)))
    numbers = (
        np.min([run.learned[-1] for run in small + large]),
        np.mean([run.composed[-1] for run in small]),
        np.mean([run.symmetric[-1] for run in small]),
        np.mean([run.symmetric[-1] for run in large]),
        np.mean([run.composed[-1] for run in large]),
    )
    return Measurement(tuple(map(float, numbers)), _draw(cells, size))


def _train(size: Size, problem: Problem, gamma: float, decay: float) -> list[Answers]:
    assert problem.row_shape is not None
    models = [
        Transformer.create(
            (LENGTH,),
            problem.outputs,
            tokens=problem.row_shape.tokens,
            scale=InitScale("fan_in_gamma", gamma),
            layers=LAYERS,
            width=WIDTH,
            mlp=2 * WIDTH,
            activation="relu",
            seed=seed,
        )
        for seed in range(size.seeds)
    ]
    seen: list[list[tuple[int, float, float, float]]] = [[] for _ in models]

    def note(batch: Batch) -> None:
        for answers, model in zip(seen, batch.final, strict=True):
            said = _answers(model, problem.test) - problem.test.y.argmax(axis=1)
            learned = np.mean(_answers(model, problem.validation) == problem.validation.y.argmax(axis=1))
            answers.append((batch.step, float(learned), np.mean(said == 0), np.mean(said == BEYOND)))

    train_many(
        models,
        problem,
        learning_rates=[0.003] * size.seeds,
        weight_decays=[decay] * size.seeds,
        seeds=list(range(size.seeds)),
        optimizer="adamw",
        schedule="cosine",
        warmup=size.steps // 20,
        clip=1.0,
        steps=size.steps,
        batch_size=128,
        evaluations=24,
        measures=(),
        on_evaluation=note,
    )
    return [Answers(*(np.array(column, float) for column in zip(*answers, strict=True))) for answers in seen]


def _answers(model: Transformer, part: Split) -> np.ndarray:
    return np.asarray(model(part.x)).argmax(axis=1)


def _draw(cells: Cells, size: Size) -> Figure:
    figure, (small, large, composed, symmetric) = panels(4, width=2.9)
    for panel, gamma in ((small, max(size.gammas)), (large, min(size.gammas))):
        for run in cells[gamma, max(size.decays)]:
            panel.plot(run.steps + 1, run.learned, color=GREY, lw=1, ls=":")
            panel.plot(run.steps + 1, run.composed, color=BLUE, lw=1.2)
            panel.plot(run.steps + 1, run.symmetric, color=ORANGE, lw=1.2)
        panel.set(xlabel="step + 1", xscale="log", ylim=(-0.02, 1.02))
        panel.set_title(rf"$\gamma$ = {gamma:g}, weight decay {max(size.decays):g}")
    small.set_ylabel("share of the answers")
    for color, style, label in ((GREY, ":", "pairs of training"), (BLUE, "-", "composed"), (ORANGE, "-", "symmetric")):
        small.plot([], [], color=color, ls=style, label=label)
    legend(small, loc="upper left")
    for panel, kind in ((composed, "composed"), (symmetric, "symmetric")):
        _map(panel, cells, size, kind)
        panel.set_title(f"{kind} answers to (4, 3)")
    return figure


def _map(panel: Axes, cells: Cells, size: Size, kind: str) -> None:
    shares, learned = (
        np.array(
            [
                [np.mean([getattr(run, name)[-1] for run in cells[gamma, decay]]) for gamma in size.gammas]
                for decay in size.decays
            ]
        )
        for name in (kind, "learned")
    )
    panel.imshow(shares, vmin=0, vmax=1, cmap="viridis", origin="lower", aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        said = f"{share:.2f}" + ("" if learned[row, column] >= LEARNED else "*")
        color = "black" if share > 0.6 else "white"
        panel.text(column, row, said, ha="center", va="center", fontsize=8, color=color)
    panel.set_xticks(range(len(size.gammas)), [f"{gamma:g}" for gamma in size.gammas])
    panel.set_yticks(range(len(size.decays)), [f"{decay:g}" for decay in size.decays])
    panel.set(xlabel=r"initialization rate $\gamma$", ylabel="weight decay")
    panel.grid(visible=False)


EXPERIMENT = Experiment(
    name="anchors",
    claim="The initialization rate decides how a transformer answers a pair of anchors that it has not seen: from a "
    "small start it composes what each anchor does, from a large one it answers as for the pair in the other order.",
    source="Zhang, Lin, Wang, Zhang and Xu 2024, arXiv 2405.05409",
    setting="transformers of 2 layers, one head, width 32 and 64 hidden ReLUs, without norm, standard deviations "
    "fan_in^-gamma, gamma in {gammas}; anchor-pairs with rows of 5, 10 items and {rows} rows, (3, 4) adding -6 instead "
    "of -10; AdamW at a rate of 0.003 with warm-up and cosine, weight decays {decays}, clipping at 1, batches of 128, "
    "{steps} steps, {seeds} seeds from 0; small and large start: largest and least gamma, at the largest decay; "
    "learned: right on pairs of training with the key at places held out",
    criteria=(
        Criterion("small and large start: learned, worst run", "at least", 0.9),
        Criterion("small start: composed answers to (4, 3), mean", "at least", 0.5),
        Criterion("the same: symmetric answers", "at most", 0.25),
        Criterion("large start: symmetric answers to (4, 3), mean", "at least", 0.5),
        Criterion("the same: composed answers", "at most", 0.25),
    ),
    quick=Size(gammas=(0.3, 0.7), decays=(0.3,), seeds=1, rows=10_000, steps=3000),
    full=Size(gammas=(0.3, 0.5, 0.7), decays=(0.03, 0.3), seeds=3, rows=10_000, steps=5000),
    measure=measure,
)
