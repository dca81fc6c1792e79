"""How often the doctor alarms on healthy runs, and how often its first finding is the cause that a sick run was given.

    make bench BENCHMARK=doctor

Healthy runs are told without the doctor: sensible scales and rates on the bundled sets and on three made ones, many
widths and activations, gradient descent, momentum, Adam and mini-batches. Of these the ones count whose best and last
network are clearly better than the best constant and as good as the better of a linear model and an MLP of
scikit-learn's (within the noise of the test rows, or to a twentieth of what that gains), and that hardly gain by eight
times the steps. linnerud is left out: of its 20 rows none of this can be told. Sick runs are made sick: `KINDS` says
how, and which verdicts name the cause. One that came out well nevertheless does not count, which is told without the
doctor too.

Printed: false alarms with their interval, the first findings on each kind, and the share that names the cause.
`--choose` takes the draws on which thresholds were chosen, in place of those that measure; `--quick` takes a tenth.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor

# Most of the time is compiling: hundreds of networks are trained for seconds. The worker processes inherit this.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

import nucleate
from nucleate import InitScale, Network, Problem, load_problem
from nucleate.problems import CROSS_ENTROPY, Split
from nucleate.training import Run, train_many

HEALTHY, SICK = 300, 200
CHOOSE, MEASURE = 7000, 1
"""The seeds of the draws: those on which thresholds were chosen, and those that measure."""
MOST_ROWS = 300
TOGETHER = 5
"""Runs of one cell: one program, several seeds, scales and rates."""
FROM_A_CELL = 4
"""So many of the runs of a cell are taken, and no more, lest few cells decide."""
NOISE = 2.0
"""Worse or better beyond noise: by so many standard errors of the difference over the test rows."""
NEARLY = 0.05
"""As good as the reference but for this share of what that gains over the constant."""
LOST = 0.4
"""A sick run misses at least this share of what the reference gains, on the test rows and on the validation rows."""
OVERFITTED = 1.3
"""The validation loss at the end in units of its least, of an overfitted run."""
LONGER, GAINS = 8, 0.05
"""So many times the steps take off the loss less than a tenth of it, or than this share of the constant's."""

BUNDLED = ("diabetes", "breast_cancer", "wine", "digits", "iris", "elevation", "sine-5d", "four-relu-1d")
BUNDLED += ("teacher-3",)


@dataclass(frozen=True)
class Cell:
    """Runs of one architecture on one problem, and what is wrong with them."""

    problem: Problem
    models: list[Any]
    rates: list[float]
    settings: dict[str, Any] = field(default_factory=dict)
    twin: Problem | None = None
    """The same rows as they should have been, where it is the data that are sick."""


@dataclass(frozen=True)
class Kind:
    """A way to be sick."""

    make: Callable[[np.random.Generator], Cell]
    named: frozenset[str]
    """The verdicts that name the cause; several where two names are one cause."""
    is_sick: Callable[[Run, "Cell"], bool]


# --- the data -------------------------------------------------------------------------------------------------------


def bundled(name: str) -> Problem:
    """A bundled set, of each part not too many rows."""
    problem = load_problem(name)
    return replace(problem, **{part: thinned(of) for part, of in parts_of(problem).items()})


def thinned(part: Split) -> Split:
    return part.only(np.linspace(0, len(part.x) - 1, min(MOST_ROWS, len(part.x))).astype(int))


def parts_of(problem: Problem) -> dict[str, Split]:
    return {"train": problem.train, "validation": problem.validation, "test": problem.test}


def table(name: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Inputs of unit scale, targets and task."""
    parts = list(parts_of(bundled(name)).values())
    x, y = (np.concatenate([getattr(part, what) for part in parts]) for what in ("x", "y"))
    if load_problem(name).loss == CROSS_ENTROPY:
        return x, y.argmax(axis=1), "classification"
    return x, y[:, 0], "regression"


def xor(rng: np.random.Generator, rows: int = 80) -> tuple[np.ndarray, np.ndarray, str]:
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)[np.arange(rows) % 4]
    return corners, (corners.sum(axis=1) == 1).astype(float), "regression"


def circle(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
    x = rng.uniform(-1, 1, (300, 2))
    return x, ((x**2).sum(axis=1) < 0.64).astype(int), "classification"


def parabola(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
    x = rng.uniform(0, 1, (300, 2))
    return x, (x[:, 1] > 4 * (x[:, 0] - 0.5) ** 2).astype(int), "classification"


def product(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
    x = rng.uniform(-(3**0.5), 3**0.5, (300, 4))
    return x, x[:, 0] * x[:, 1] + 0.05 * rng.standard_normal(300), "regression"


def waves(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
    x = rng.uniform(-1, 1, (300, 1))
    return x, np.sin(rng.uniform(9, 12) * x[:, 0]), "regression"


MADE = {"circle": circle, "parabola": parabola, "product": product}


def learnable(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
    """A task on which a network of sensible settings clearly learns something."""
    name = pick(rng, ("diabetes", "breast_cancer", "wine", "iris", "teacher-3", *MADE))
    return MADE[name](rng) if name in MADE else table(name)


def problem_of(data: tuple[np.ndarray, np.ndarray, str], **given: Any) -> Problem:
    x, y, task = data
    return Problem.from_arrays(x, y, task=task, **given)


# --- the networks ---------------------------------------------------------------------------------------------------


def pick(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def networks(
    problem: Problem,
    hidden: tuple[int, ...],
    activation: str,
    gains: list[float],
    rng: np.random.Generator,
    *,
    bias: bool = True,
) -> list[Network]:
    return [
        Network.create(
            problem.inputs,
            hidden,
            problem.outputs,
            scale=InitScale("gain", gain),
            activation=activation,
            bias=bias,
            seed=int(rng.integers(2**31)),
        )
        for gain in gains
    ]


def standard(activation: str) -> float:
    """The gain that keeps signals of unit size through depth."""
    return {"relu": 1.41, "leaky_relu": 1.41, "elu": 1.2, "gelu": 1.4, "silu": 1.6, "sigmoid": 2.0}.get(activation, 1.0)


def with_biases(network: Network, layer: int, biases: np.ndarray) -> Network:
    own = list(network.biases)
    own[layer] = biases.astype(network.dtype)
    return replace(network, biases=tuple(own))


def cell(
    rng: np.random.Generator,
    problem: Problem,
    hidden: tuple[int, ...],
    activation: str,
    gain: tuple[float, float],
    rate: tuple[float, float],
    twin: Problem | None = None,
    **settings: Any,
) -> Cell:
    """Runs whose gains and rates are drawn from these ranges."""
    gains = [log_uniform(rng, *gain) for _ in range(TOGETHER)]
    rates = [log_uniform(rng, *rate) for _ in range(TOGETHER)]
    return Cell(problem, networks(problem, hidden, activation, gains, rng), rates, settings, twin)


WIDTHS = ((10,), (20,), (50,), (10, 10), (20, 20), (50, 50), (12, 12, 12))
ACTIVATIONS = ("tanh", "relu", "sigmoid", "gelu", "silu", "elu", "softplus", "leaky_relu")


def healthy(rng: np.random.Generator, name: str) -> Cell:
    problem = problem_of(MADE[name](rng)) if name in MADE else bundled(name)
    activation, hidden = pick(rng, ACTIVATIONS), pick(rng, WIDTHS)
    usual, steps = standard(activation), int(pick(rng, (500, 1000, 2500)))
    stiff = 0.1 if name == "sine-5d" else 1.0
    how: tuple[tuple[float, float], dict[str, Any]] = pick(
        rng,
        (
            ((0.05, 0.2), {}),
            ((0.01, 0.05), {"optimizer": {"name": "momentum", "momentum": 0.9}}),
            ((0.002, 0.01), {"optimizer": "adam"}),
            ((0.02, 0.1), {"batch_size": 32, "schedule": "cosine"}),
            ((0.002, 0.01), {"optimizer": "adam", "batch_size": 32, "schedule": "cosine"}),
        ),
    )
    low, high = how[0]
    if "optimizer" not in how[1]:
        low, high = low * stiff, high * stiff
    early = bool(rng.integers(2))
    return cell(
        rng, problem, hidden, activation, (0.7 * usual, usual), (low, high), steps=steps, early_stopping=early, **how[1]
    )


# --- the sick -------------------------------------------------------------------------------------------------------


def initial_plateau(rng: np.random.Generator) -> Cell:
    """A start so small that the steps do not take it off its plateau."""
    hidden = pick(rng, ((20, 20), (30, 30), (15, 15, 15)))
    gain = (0.005, 0.02) if len(hidden) == 2 else (0.05, 0.1)
    activation = pick(rng, ("tanh", "gelu"))
    return cell(
        rng, problem_of(learnable(rng)), hidden, activation, gain, (0.03, 0.1), steps=int(pick(rng, (200, 400)))
    )


def xor_plateau(rng: np.random.Generator) -> Cell:
    problem = problem_of(xor(rng), standardize=False)
    units, activation = pick(rng, ((2,), (3,), (4,))), pick(rng, ("sigmoid", "tanh"))
    models = [
        Network.create(2, units, 1, scale=InitScale("epsilon", 0.1), activation=activation, bias=True, seed=seed)
        for seed in rng.integers(2**31, size=TOGETHER).tolist()
    ]
    return Cell(problem, models, [0.01] * TOGETHER, {"steps": int(pick(rng, (100, 1000, 3000)))})


def secondary_plateau(rng: np.random.Generator) -> Cell:
    """A linear part that is soon learned, and a product that a small start finds late."""
    x = rng.uniform(-(3**0.5), 3**0.5, (300, 4))
    y = x[:, 0] + rng.uniform(1.2, 1.6) * x[:, 1] * x[:, 2]
    hidden = pick(rng, ((30,), (20, 20)))
    gain = (0.01, 0.03) if len(hidden) == 1 else (0.1, 0.2)
    steps = int(pick(rng, (100, 150)))
    return cell(rng, problem_of((x, y, "regression")), hidden, "tanh", gain, (0.1, 0.2), steps=steps)


def dead_layer(rng: np.random.Generator) -> Cell:
    """ReLUs that a bias far below zero keeps off on every row."""
    problem = problem_of(learnable(rng))
    hidden = pick(rng, ((20,), (15, 15), (10, 10, 10)))
    models = networks(problem, hidden, "relu", [1.41] * TOGETHER, rng)
    layer = int(rng.integers(len(hidden)))
    models = [with_biases(model, layer, np.full(hidden[layer], -rng.uniform(15, 60))) for model in models]
    return Cell(problem, models, [0.05] * TOGETHER, {"steps": 800})


def dead_units(rng: np.random.Generator) -> Cell:
    """All ReLUs but one or two are off."""
    problem = problem_of(pick(rng, (circle, product, waves))(rng))
    width = int(pick(rng, (16, 24, 40)))
    models = networks(problem, (width,), "relu", [1.41] * TOGETHER, rng)
    living = int(rng.integers(1, 3))
    models = [with_biases(model, 0, np.r_[np.zeros(living), np.full(width - living, -40.0)]) for model in models]
    return Cell(problem, models, [0.05] * TOGETHER, {"steps": 1500})


def saturated(rng: np.random.Generator) -> Cell:
    """Sigmoids and tanhs whose first weights are so large that they are at their bounds."""
    problem = problem_of(pick(rng, (circle, product, parabola))(rng))
    hidden, activation = pick(rng, ((10,), (10, 10))), pick(rng, ("tanh", "sigmoid"))
    scale = InitScale("gain", (log_uniform(rng, 200, 1000),) * len(hidden) + (1.0,))
    models = [
        Network.create(
            problem.inputs, hidden, problem.outputs, scale=scale, activation=activation, bias=True, seed=seed
        )
        for seed in rng.integers(2**31, size=TOGETHER).tolist()
    ]
    return Cell(problem, models, [0.05] * TOGETHER, {"steps": 1000})


def vanishing(rng: np.random.Generator) -> Cell:
    """Sigmoids on sigmoids, each layer of which takes the gradient down by ten."""
    hidden = (20,) * int(pick(rng, (5, 6, 8)))
    return cell(rng, problem_of(learnable(rng)), hidden, "sigmoid", (0.8, 1.2), (0.05, 0.2), steps=800)


def exploding(rng: np.random.Generator) -> Cell:
    """Ten layers of ReLUs, each of which makes the signal several times larger."""
    hidden = (20,) * int(pick(rng, (8, 10, 12)))
    return cell(rng, problem_of(learnable(rng)), hidden, "relu", (4.0, 6.0), (0.005, 0.02), steps=300)


def rate_too_large(rng: np.random.Generator) -> Cell:
    activation = pick(rng, ("tanh", "gelu", "softplus"))
    optimizer, rate = pick(rng, (("gd", (10.0, 40.0)), ("adam", (1.0, 3.0)), ("gd", (100.0, 300.0))))
    return cell(
        rng, problem_of(learnable(rng)), pick(rng, ((20,), (20, 20))), activation, (1.0, 1.0), rate,
        steps=600, optimizer=optimizer,
    )  # fmt: skip


def killed(rng: np.random.Generator) -> Cell:
    """ReLUs under Adam at a rate that throws all units of a layer off in a few steps."""
    x = rng.integers(0, 2, (200, 2)).astype(float)
    problem = problem_of((x, (x[:, 0] == x[:, 1]).astype(float), "regression"), standardize=False)
    hidden = pick(rng, ((5, 10, 5), (8, 8), (6, 6, 6)))
    return cell(rng, problem, hidden, "relu", (1.0, 1.0), (0.8, 1.5), steps=500, optimizer="adam")


def rate_too_small(rng: np.random.Generator) -> Cell:
    optimizer, rate = pick(rng, (("gd", (1e-6, 1e-4)), ("adam", (1e-7, 3e-6))))
    activation = pick(rng, ("tanh", "relu", "gelu"))
    usual = standard(activation)
    return cell(
        rng, problem_of(learnable(rng)), pick(rng, ((20,), (20, 20))), activation, (usual, usual), rate,
        steps=1000, optimizer=optimizer,
    )  # fmt: skip


def unscaled_input(rng: np.random.Generator) -> Cell:
    """Inputs as they come: thousands, or one column of them."""
    x, y, task = learnable(rng)
    factors = np.ones(x.shape[1])
    which = slice(None) if rng.integers(2) else slice(0, 1)
    factors[which] = log_uniform(rng, 300, 3000)
    raw = problem_of((x * factors, y, task), standardize=False)
    if task == "regression":
        raw = problem_of((x * factors, (y - y.mean()) / y.std(), task), standardize=False)
    activation = pick(rng, ("tanh", "relu"))
    return cell(
        rng, raw, pick(rng, ((20,), (20, 20))), activation, (1.0, 1.4), (0.02, 0.1),
        twin=problem_of((x, y, task)), steps=800,
    )  # fmt: skip


def unscaled_target(rng: np.random.Generator) -> Cell:
    """Prices in their own unit."""
    data = pick(rng, ("diabetes", "teacher-3", "product"))
    x, y, task = MADE[data](rng) if data in MADE else table(data)
    size = log_uniform(rng, 1e3, 1e5)
    raw = problem_of((x, (y - y.mean()) / y.std() * size + 3 * size, task), standardize=False)
    activation = pick(rng, ("tanh", "relu"))
    optimizer, rate = pick(rng, (("adam", (0.001, 0.005)), ("gd", (0.02, 0.1))))
    return cell(
        rng, raw, (20,), activation, (1.0, 1.4), rate, twin=problem_of((x, y, task)), steps=800, optimizer=optimizer
    )


def all_alike(rng: np.random.Generator) -> Cell:
    """Every unit starts as the same one, so all stay the same."""
    problem = problem_of(pick(rng, (circle, product, waves))(rng))
    width, activation = int(pick(rng, (10, 20, 40))), pick(rng, ("tanh", "relu", "sigmoid"))
    models = []
    for model in networks(problem, (width,), activation, [1.0] * TOGETHER, rng):
        constant = rng.uniform(0.1, 0.5)
        weights = tuple(np.full_like(weight, constant) for weight in model.weights)
        models.append(replace(model, weights=weights, biases=tuple(np.zeros_like(bias) for bias in model.biases)))
    return Cell(problem, models, [0.05] * TOGETHER, {"steps": 1500})


def too_few_units(rng: np.random.Generator) -> Cell:
    """Tasks that need more units than there are: a disc, a wave, a product, XOR."""
    data, most = pick(rng, ((circle, 2), (waves, 3), (product, 2), (xor, 2)))
    problem = problem_of(data(rng)) if data is not xor else problem_of(xor(rng), standardize=False)
    width = int(rng.integers(1, most)) if most > 2 or rng.integers(2) else most
    activation = pick(rng, ("tanh", "relu"))
    return cell(rng, problem, (width,), activation, (1.0, 1.4), (0.01, 0.03), steps=4000, optimizer="adam")


def large_epsilon(rng: np.random.Generator) -> Cell:
    """Adam whose epsilon is far above the gradients, so that it hardly steps."""
    adam = {"name": "adam", "eps": log_uniform(rng, 30, 300)}
    activation = pick(rng, ("tanh", "relu"))
    usual = standard(activation)
    return cell(
        rng, problem_of(learnable(rng)), pick(rng, ((20,), (20, 20))), activation, (usual, usual), (0.001, 0.005),
        steps=1000, optimizer=adam,
    )  # fmt: skip


def epsilon_of_small(rng: np.random.Generator) -> Cell:
    """A start so small that Adam's usual epsilon is above all gradients."""
    hidden = pick(rng, ((20, 20, 20), (20, 20)))
    gain = (1e-6, 1e-5) if len(hidden) == 2 else (1e-4, 1e-3)
    return cell(rng, problem_of(learnable(rng)), hidden, "tanh", gain, (1e-5, 3e-5), steps=500, optimizer="adam")


def underflow(rng: np.random.Generator) -> Cell:
    """A start whose steps float32 cannot hold."""
    hidden = pick(rng, ((20, 20), (20, 20, 20)))
    gain = (1e-16, 1e-14) if len(hidden) == 2 else (1e-12, 1e-11)
    return cell(rng, problem_of(learnable(rng)), hidden, "tanh", gain, (0.05, 0.1), steps=300)


def stopped_too_early(rng: np.random.Generator) -> Cell:
    """Everything sensible, and a tenth of the steps that it takes."""
    data = pick(rng, ("product", "circle", "waves"))
    problem = problem_of({**MADE, "waves": waves}[data](rng))
    activation = pick(rng, ("tanh", "gelu", "relu"))
    usual = standard(activation)
    return cell(
        rng, problem, pick(rng, ((30,), (20, 20))), activation, (usual, usual), (0.002, 0.005),
        steps=int(pick(rng, (40, 60, 80))), optimizer="adam",
    )  # fmt: skip


def overfitting(rng: np.random.Generator) -> Cell:
    """Few rows, many columns of noise, a wide network and many steps."""
    x = rng.standard_normal((150, 20))
    y = np.tanh(x[:, 0]) + x[:, 1] + 0.7 * rng.standard_normal(150)
    labels = pick(rng, (True, False))
    data = (x, (y > 0).astype(int), "classification") if labels else (x, y, "regression")
    problem = problem_of(data)
    activation = pick(rng, ("tanh", "relu"))
    return cell(rng, problem, (50,), activation, (1.0, 1.4), (0.005, 0.01), steps=2000, optimizer="adam")


def leak(rng: np.random.Generator) -> Cell:
    """A column that is the target in another unit, with a little noise."""
    x, y, task = table("diabetes") if rng.integers(2) else product(rng)
    copy = -3.0 * y + 0.01 * y.std() * rng.standard_normal(len(y)) if rng.integers(2) else np.exp(y / y.std())
    activation = pick(rng, ("tanh", "relu"))
    return cell(rng, problem_of((np.c_[x, copy], y, task)), (20,), activation, (1.0, 1.4), (0.05, 0.1), steps=1000)


def nothing_to_learn(rng: np.random.Generator) -> Cell:
    """Targets in another row's place."""
    x, y, task = learnable(rng)
    activation = pick(rng, ("tanh", "relu", "gelu"))
    return cell(
        rng, problem_of((x, rng.permutation(y), task)), pick(rng, ((8,), (20,))), activation, (1.0, 1.4), (0.02, 0.05),
        steps=int(pick(rng, (500, 1000))),
    )  # fmt: skip


def linear(rng: np.random.Generator) -> Cell:
    """A linear target with noise."""
    x = rng.standard_normal((200, int(pick(rng, (3, 6, 10)))))
    y = x @ rng.standard_normal(x.shape[1]) + rng.uniform(0.05, 0.5) * rng.standard_normal(200)
    activation = pick(rng, ("tanh", "relu", "gelu"))
    return cell(
        rng,
        problem_of((x, y, "regression")),
        pick(rng, ((20,), (30,))),
        activation,
        (1.0, 1.4),
        (0.05, 0.1),
        steps=1500,
    )


# --- told without the doctor ----------------------------------------------------------------------------------------


def costs(problem: Problem, outputs: np.ndarray) -> np.ndarray:
    """Of each test row."""
    return np.asarray(problem.loss.rows(np.asarray(outputs, float), problem.test.y), float)


_REFERENCES: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}


def reference(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The costs of the best constant, of a linear model, and of the better of it and MLPs, on the test rows."""
    key = f"{problem.name} {problem.data_hash} {problem.loss.name} {len(problem.train.x)}"
    if key not in _REFERENCES:
        constant = np.tile(problem.loss.constant_outputs(problem.train.y), (len(problem.test.x), 1))
        mlp, linear_model, strengths = (
            (MLPClassifier, LogisticRegression, ({"C": 0.1}, {"C": 10.0}))
            if problem.loss == CROSS_ENTROPY
            else (MLPRegressor, Ridge, ({"alpha": 100.0}, {"alpha": 1.0}))
        )
        models = [linear_model(**strength) for strength in strengths]
        models += [
            mlp(hidden_layer_sizes=hidden, activation=activation, solver="lbfgs", alpha=alpha, random_state=0)
            for hidden, activation in (((30,), "tanh"), ((50, 50), "relu"))
            for alpha in (1e-2, 1.0, 10.0)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = [fit(model, problem) for model in models]
        best = [min(some, key=lambda one: one[0])[1] for some in (fitted[:2], fitted)]
        _REFERENCES[key] = costs(problem, constant), *(costs(problem, outputs) for outputs in best)
    return _REFERENCES[key]


def fit(model: Any, problem: Problem) -> tuple[float, np.ndarray]:
    """The validation loss, and the outputs on the test rows."""
    x, y = problem.train.x, problem.train.y
    if problem.loss == CROSS_ENTROPY:
        model.fit(x, y.argmax(axis=1))

        def outputs(at: np.ndarray) -> np.ndarray:
            found = np.full((len(at), y.shape[1]), 1e-12)
            found[:, model.classes_] = np.maximum(model.predict_proba(at), 1e-12)
            return np.log(found)

    else:
        model.fit(x, y if y.shape[1] > 1 else y[:, 0])

        def outputs(at: np.ndarray) -> np.ndarray:
            return np.asarray(model.predict(at)).reshape(len(at), -1)

    return problem.loss(outputs(problem.validation.x), problem.validation.y), outputs(problem.test.x)


def worse_by(ours: np.ndarray, theirs: np.ndarray) -> float:
    """By how many standard errors of their difference over rows."""
    difference = ours - theirs
    return float(difference.mean() / max(difference.std(ddof=1) / len(difference) ** 0.5, 1e-12))


def looks_healthy(run: Run, of: Cell) -> bool:
    """Of the network of the best validation, which is kept, and of the last one."""
    if run.status not in ("finished", "early_stopped"):
        return False
    constant, _, best = reference(of.problem)
    networks = [costs(of.problem, model(of.problem.test.x)) for model in (run.best, run.final)]
    learned = all(worse_by(ours, constant) < -NOISE and as_good(ours, best, constant) for ours in networks)
    return learned and not overfits(run, of)


def as_good(ours: np.ndarray, theirs: np.ndarray, constant: np.ndarray) -> bool:
    """Within the noise, or nearly."""
    nearly = ours.mean() - theirs.mean() < NEARLY * (constant.mean() - theirs.mean())
    return bool(nearly or worse_by(ours, theirs) < NOISE)


def has_ended(run: Run, longer: Run, of: Cell) -> bool:
    """Whether many times the steps bring hardly more."""
    now, later = (float(one.trajectory["validation_loss"].min()) for one in (run, longer))
    return now - later < max(0.1 * now, GAINS * of.problem.loss.constant_loss(of.problem.validation.y))


def linear_is_as_good(of: Cell, run: Run) -> bool:
    constant, linear_model, _ = reference(of.problem)
    return as_good(linear_model, costs(of.problem, run.best(of.problem.test.x)), constant)


def misses(run: Run, of: Cell) -> bool:
    """Even its best network misses a good share of what can be learned."""
    of_constant, _, best = reference(of.twin or of.problem)
    can = 1 - best.mean() / of_constant.mean()
    ours = costs(of.problem, run.best(of.problem.test.x)).mean()
    own = reference(of.problem)[0].mean() if of.twin is None else costs_of_constant(of.problem)
    on_validation = of.problem.loss.constant_outputs(of.problem.train.y) * np.ones_like(of.problem.validation.y)
    constant = of.problem.loss(on_validation, of.problem.validation.y)
    explained = (1 - ours / own, 1 - float(run.trajectory["validation_loss"].min()) / constant)
    return not any(share >= (1 - LOST) * can for share in explained)


def costs_of_constant(problem: Problem) -> float:
    constant = np.tile(problem.loss.constant_outputs(problem.train.y), (len(problem.test.x), 1))
    return float(costs(problem, constant).mean())


def overfits(run: Run, of: Cell) -> bool:
    validation = run.trajectory["validation_loss"].to_numpy()
    return bool(validation[-1] > OVERFITTED * validation.min())


def fits(run: Run, of: Cell) -> bool:
    """The linear model is as good, and the network has learned what there is."""
    return linear_is_as_good(of, run) and not overfits(run, of)


def always(run: Run, of: Cell) -> bool:
    return True


KINDS = {
    "small start, few steps": Kind(initial_plateau, frozenset({"initial_plateau"}), misses),
    # A plateau's length is that of the start over the rate, and neither is standard here.
    "XOR, small start and rate": Kind(xor_plateau, frozenset({"initial_plateau", "rate_too_small"}), misses),
    # The remedy of both is more steps.
    "late product": Kind(secondary_plateau, frozenset({"secondary_plateau", "stopped_too_early"}), misses),
    "ReLU layer off": Kind(dead_layer, frozenset({"dead_layer"}), misses),
    "most ReLUs off": Kind(dead_units, frozenset({"dead_units"}), misses),
    "units at their bounds": Kind(saturated, frozenset({"saturated"}), misses),
    "deep sigmoids": Kind(vanishing, frozenset({"vanishing_gradient"}), misses),
    "deep ReLUs, large gain": Kind(exploding, frozenset({"exploding_gradient"}), misses),
    "rate far too large": Kind(rate_too_large, frozenset({"rate_too_large"}), misses),
    # The layer is dead, of the rate: the first remedy of both is a smaller one.
    "ReLUs killed by the rate": Kind(killed, frozenset({"rate_too_large", "dead_layer"}), misses),
    "rate far too small": Kind(rate_too_small, frozenset({"rate_too_small"}), misses),
    "inputs in thousands": Kind(unscaled_input, frozenset({"unscaled_input"}), misses),
    "targets in thousands": Kind(unscaled_target, frozenset({"unscaled_target"}), misses),
    "all units alike": Kind(all_alike, frozenset({"collapsed"}), misses),
    "too few units": Kind(too_few_units, frozenset({"too_few_units"}), misses),
    "Adam's epsilon large": Kind(large_epsilon, frozenset({"adam_epsilon"}), misses),
    # Of a start so small both are true, and a larger start is the remedy of both.
    "start below Adam's epsilon": Kind(epsilon_of_small, frozenset({"adam_epsilon", "initial_plateau"}), misses),
    "start below float32": Kind(underflow, frozenset({"underflow"}), misses),
    "few steps": Kind(stopped_too_early, frozenset({"stopped_too_early"}), misses),
    "few rows, many steps": Kind(overfitting, frozenset({"overfitting"}), overfits),
    "a copy of the target": Kind(leak, frozenset({"leak"}), always),
    "targets permuted": Kind(nothing_to_learn, frozenset({"nothing_to_learn"}), always),
    "a linear target": Kind(linear, frozenset({"linear_is_enough"}), fits),
}


# --- drawing --------------------------------------------------------------------------------------------------------


Told = tuple[str, frozenset[str]]
"""Of a run the first finding, and which would be right."""


def trained(of: Cell, **more: Any) -> list[Run]:
    seeds = list(range(len(of.models)))
    return train_many(
        of.models, of.problem, learning_rates=of.rates, seeds=seeds, measures=(), **{**of.settings, **more}
    )


def first_finding(run: Run, of: Cell) -> str:
    return nucleate.diagnose(run, of.problem).first.verdict


def tell_healthy(seed: int, name: str, turn: int) -> list[Told]:
    """The healthy runs of one cell."""
    of = healthy(np.random.default_rng([seed, 0, (*BUNDLED, *MADE).index(name), turn]), name)
    found = [(place, run) for place, run in enumerate(trained(of)) if looks_healthy(run, of)]
    if not found:
        return []
    again = Cell(of.problem, [of.models[place] for place, _ in found], [of.rates[place] for place, _ in found])
    longer = trained(replace(again, settings=of.settings), steps=LONGER * of.settings["steps"])
    ended = [run for (_, run), further in zip(found, longer, strict=True) if has_ended(run, further, of)]
    return [
        (first_finding(run, of), frozenset({"fine"} | ({"linear_is_enough"} if linear_is_as_good(of, run) else set())))
        for run in ended[:FROM_A_CELL]
    ]


def tell_sick(seed: int, name: str, turn: int) -> list[Told]:
    """The sick runs of one cell."""
    kind = KINDS[name]
    of = kind.make(np.random.default_rng([seed, 1, list(KINDS).index(name), turn]))
    sick = [run for run in trained(of) if kind.is_sick(run, of)]
    return [(first_finding(run, of), kind.named) for run in sick[:FROM_A_CELL]]


Task = tuple[str, int, str, int]
"""Healthy or sick, the seed, the set or the kind, and which of its cells."""
SIDES = {"healthy": (tell_healthy, (*BUNDLED, *MADE), HEALTHY), "sick": (tell_sick, tuple(KINDS), SICK)}


def tell(task: Task) -> list[Told]:
    side, seed, name, turn = task
    return SIDES[side][0](seed, name, turn)


def told(seed: int, share: int, workers: int, keep: Path | None, minutes: float) -> dict[Task, list[Told]]:
    """Rounds of one cell for each set and kind, until there are as many runs of both sides, or the time is over.

    All runs of a round count, so that no set or kind is drawn more often than another.
    """
    known = {} if keep is None or not keep.exists() else dict(map(read_line, keep.read_text().splitlines()))
    found: dict[Task, list[Told]] = {}
    began, turn = time.perf_counter(), 0
    # JAX does not survive a fork.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers > 1 else None
    with pool or nullcontext():
        while True:
            tasks = [
                (side, seed, name, turn)
                for side, (_, names, count) in SIDES.items()
                if sum(len(runs) for task, runs in found.items() if task[0] == side) < count // share
                for name in names
            ]
            new = [task for task in tasks if task not in known]
            for task, runs in zip(new, (pool.map if pool else map)(tell, new), strict=False):
                known[task] = runs
                said = ", ".join(verdict if verdict in right else f"{verdict}!" for verdict, right in runs) or "no run"
                clock = f"{time.perf_counter() - began:5.0f} s"
                print(f"{clock}  {task[3]:2} {task[2]}: {said}", file=sys.stderr, flush=True)
                if keep is not None:
                    with keep.open("a") as file:
                        file.write(json.dumps([task, [[verdict, sorted(right)] for verdict, right in runs]]) + "\n")
                if time.perf_counter() - began > 60 * minutes:
                    break
            found |= {task: known[task] for task in tasks if task in known}
            if not tasks or any(task not in known for task in tasks):
                if pool is not None:
                    pool.shutdown(cancel_futures=True)
                return found
            turn += 1


def read_line(line: str) -> tuple[Task, list[Told]]:
    (side, seed, name, turn), runs = json.loads(line)
    return (side, seed, name, turn), [(verdict, frozenset(right)) for verdict, right in runs]


def interval(hits: int, of: int) -> tuple[float, float]:
    """Clopper and Pearson's, of 95 %."""
    low = beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    return float(low), float(beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0)


def print_table(title: str, side: str, found: dict[Task, list[Told]]) -> tuple[int, int]:
    """The first findings of each set or kind; how many are right over all, and of how many."""
    runs = [(task[2], run) for task, some in found.items() if task[0] == side for run in some]
    print(f"| {title} | cells | runs | right | first findings |\n|---|---|---|---|---|")
    for name in SIDES[side][1]:
        cells = sum(task[0] == side and task[2] == name for task in found)
        own = [run for kind, run in runs if kind == name]
        counts = Counter(verdict for verdict, _ in own).most_common()
        said = ", ".join(f"{verdict} {number}" for verdict, number in counts) or "no run"
        print(f"| {name} | {cells} | {len(own)} | {sum(verdict in right for verdict, right in own)} | {said} |")
    return sum(verdict in right for _, (verdict, right) in runs), len(runs)


def print_share(what: str, hits: int, of: int) -> None:
    low, high = interval(hits, of)
    print(f"\n{what}: {hits} of {of}, {hits / max(of, 1):.1%} (95 % interval {low:.1%} to {high:.1%})\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choose", action="store_true", help="the draws on which thresholds were chosen")
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="a file of JSON lines, a cell each, from which it goes on")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which it prints what it has")
    arguments = parser.parse_args()
    seed, share = CHOOSE if arguments.choose else MEASURE, 10 if arguments.quick else 1
    found = told(seed, share, arguments.workers, arguments.keep, arguments.minutes)
    right, of = print_table("healthy runs on", "healthy", found)
    print_share("false alarms", of - right, of)
    print_share("right first", *print_table("sick runs", "sick", found))


if __name__ == "__main__":
    main()
