"""From a grid to runs, and from runs to the chunks in which they are trained and stored."""

from dataclasses import dataclass

from nucleate.init_scale import InitScale
from nucleate.network import Network
from nucleate.problems import Problem
from nucleate.studies.spec import StudySpec

CHUNK = 16
"""Runs trained together and stored in one file; fixed, so that a study's files do not depend on the machine."""


@dataclass(frozen=True)
class PlannedRun:
    """One cell of the grid: its number in the study, and what sets it apart."""

    number: int
    scale: float
    learning_rate: float
    seed: int

    def network(self, spec: StudySpec, problem: Problem) -> Network:
        """The network the run starts from."""
        layers = len(spec.hidden) + 1
        return Network.create(
            problem.inputs,
            spec.hidden,
            problem.outputs,
            scale=InitScale(spec.convention, self.scale),
            activation=spec.activation,
            bias=[spec.bias == "all" or (spec.bias == "first" and layer == 0) for layer in range(layers)],
            seed=self.seed,
            dtype=spec.dtype,
        )


def plan_runs(spec: StudySpec) -> list[PlannedRun]:
    """The runs of a study in their order: scales, within them learning rates, within them seeds."""
    cells = ((scale, rate, seed) for scale in spec.scales for rate in spec.lrs for seed in spec.seeds)
    return [PlannedRun(number, *cell) for number, cell in enumerate(cells)]


def plan_chunks(spec: StudySpec) -> list[list[PlannedRun]]:
    """The runs in consecutive chunks of at most `CHUNK`.

    Examples
    --------
    >>> spec = StudySpec(data="diabetes", gains=[1.0, 0.1], lrs=[0.1, 0.01], seeds=10)
    >>> [len(chunk) for chunk in plan_chunks(spec)]
    [16, 16, 8]
    """
    runs = plan_runs(spec)
    return [runs[start : start + CHUNK] for start in range(0, len(runs), CHUNK)]
