"""The end of a sweep: its cells are compared, and the recommended one is held against simpler models."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np

from nucleate.baselines import Contender
from nucleate.init_scale import InitScale
from nucleate.models import count_parameters, outputs_of
from nucleate.network import Network
from nucleate.problems import Problem
from nucleate.studies import Findings, Plan
from nucleate.training import TRAINED, Batch, Run

Trainer = Callable[[Batch], Sequence[Run]]
"""What trains a batch to its end."""


def narrow_network(findings: Findings, problem: Problem, train: Trainer) -> Contender | Literal["model", "plateau"]:
    """The networks of a study, as narrow as the recommended cell works, and trained as it was.

    They start from the recommended scale, and, as a narrow network has no need of a small start, from the standard
    initialization as well. Of the two that counts which is better on validation.

    Where there is none it is said why: "model", it is not one of our networks; "plateau", no run has left its plateau.
    """
    study, chosen = findings.study, findings.recommended
    spec = study.spec
    if spec.model is not None:
        return "model"
    if not chosen.learned:
        return "plateau"
    same = {"hidden": findings.narrow_widths, "lrs": (chosen.lr,), "weight_decays": (chosen.weight_decay,)}
    plans = [
        Plan(spec.changed(**same, **{f"{scale.convention}s": (scale.value,)}))
        for scale in dict.fromkeys([InitScale(spec.convention, chosen.scale), InitScale("gain", 1.0)])
    ]
    starts = [plan.start(run, problem.inputs, problem.outputs) for plan in plans for run in plan.runs]
    seeds = [run.seed for plan in plans for run in plan.runs]
    decays = plans[0].weight_decays([run for plan in plans for run in plan.runs])
    rates = [chosen.lr] * len(starts)
    runs = train(
        Batch(*(problem, starts, rates, seeds, spec.settings), measures=(), weight_decays=decays, keep_nan_starts=True)
    )
    count = len(spec.seeds)
    kinds = [_learned(runs[first : first + count]) for first in range(0, len(runs), count)]
    costs = [[_cost(problem, network) for network in networks] for networks in kinds]
    best = min(range(len(kinds)), key=lambda kind: float(np.mean(costs[kind])))
    networks = [kinds[best][seed] for seed in np.argsort(costs[best], kind="stable")]
    outputs = tuple(partial(outputs_of, network) for network in networks)
    return Contender("narrow network", networks[0].hidden, count_parameters(networks[0]), outputs)


def _learned(runs: Sequence[Run]) -> list[Network]:
    """Those that left their plateau; where none did, all."""
    learned = [run for run in runs if run.status in TRAINED and run.stages.current != "initial plateau"]
    return [run.best for run in learned or runs]


def _cost(problem: Problem, network: Network) -> float:
    part = problem.validation
    cost = problem.loss.metric.cost(problem.metric(outputs_of(network, part.x), part.y, part.weights))
    return cost if np.isfinite(cost) else np.inf
