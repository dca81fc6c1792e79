"""The paths of leading parts, and the networks themselves at points of them: what all forecasts are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from nucleate.forecasting.departure import Departure
from nucleate.forecasting.expected import Forecast
from nucleate.forecasting.judgement import Judgement, PathReading, judge, point_of_drop, points_to_read
from nucleate.forecasting.simulation import Simulation, late_curves
from nucleate.models import take_apart
from nucleate.problems import Problem, Split
from nucleate.training import Rule, engine


class Asked(NamedTuple):
    """The runs of one architecture that are to be forecast, as `forecast_many` takes them.

    ``batch_size`` is None where a step takes all rows.
    """

    problem: Problem
    learning_rates: Sequence[float]
    weight_decays: Sequence[float] | None
    rule: Rule
    batch_size: int | None
    seeds: Sequence[int]
    horizon: int
    budget: int | None

    @property
    def decays(self) -> list[float]:
        """The weight decay of each run."""
        return [0.0] * len(self.learning_rates) if self.weight_decays is None else list(self.weight_decays)

    @property
    def in_batches(self) -> bool:
        """Whether a step takes some of the rows."""
        return self.batch_size is not None

    @property
    def keeps_pace(self) -> bool:
        """Whether the optimizer's steps do not depend on the size of the gradient."""
        return not self.rule.optimizer.follows_gradient

    def program(self, model: Any) -> engine.Program:
        """The training of such a model."""
        frame = take_apart(model)[1]
        return engine.Program(frame, self.problem.loss, self.rule, self.batch_size, watches=self.in_batches)

    def simulate(self, leads: Sequence[Any], stepped: Split, watched: Split) -> Simulation:
        """The stepping of the runs' leading parts."""
        rates, seeds, decays = self.learning_rates, self.seeds, self.weight_decays
        return Simulation(self.program(leads[0]), leads, stepped, watched, rates, seeds, decays)


@dataclass(frozen=True, eq=False)
class Paths:
    """Of each run the path of its leading part, whose losses these are, and the network itself at points of it.

    ``followed`` has every run's network at each point, in float64, and ``departed`` how that departs from it.
    """

    asked: Asked
    simulation: Simulation
    drops: Int[np.ndarray, "runs drops"]
    left_at: Int[np.ndarray, " runs"]
    points: Int[np.ndarray, "runs points"]
    losses: Float[np.ndarray, "points runs"]
    followed: Sequence[Sequence[Any]]
    departed: Sequence[Sequence[Departure]]

    @classmethod
    def follow(
        cls,
        asked: Asked,
        simulation: Simulation,
        restore: Callable[[Sequence[Any]], list[Any]],
        depart: Callable[[list[Any]], Sequence[Departure]],
    ) -> "Paths":
        """Take the leading parts along: ``restore`` makes networks of them, and ``depart`` holds them against these."""
        drops, left_at = simulation.first_descent(asked.horizon)
        points = np.stack([points_to_read(run, int(end)) for run, end in zip(drops, left_at, strict=True)])
        losses, followed, departed = [], [], []
        for states, loss in simulation.states_at(points):
            losses.append(loss)
            followed.append(restore(states))
            departed.append(depart(followed[-1]))
        return cls(asked, simulation, drops, left_at, points, np.array(losses, float), followed, departed)

    def judge(self) -> list[Judgement]:
        """`judge` for every run, by its leading part's losses and its departures."""
        excess, speed, across = (
            np.array([[getattr(run, name) for run in at] for at in self.departed])
            for name in ("excess", "speed", "across")
        )
        # Where the leading part has diverged its loss stays infinite, and the network's is nothing less.
        own = np.add(self.losses, excess, where=np.isfinite(self.losses), out=self.losses.copy())
        plateaus = (self.simulation.plateau_loss / self.simulation.start_loss).tolist()
        return [
            judge(
                PathReading(self.points[run], own[:, run], speed[:, run], across[:, run]),
                self.drops[run],
                plateau,
                self.asked.rule,
                self.asked.in_batches,
            )
            for run, plateau in enumerate(plateaus)
        ]

    def turned(self, run: int) -> int | None:
        """The point at which a run's loss has fallen by 10 %, or the last.

        None where the leading part has jumped away instead, so that its directions say nothing of the network's.
        """
        point = point_of_drop(self.drops[run])
        jumped = (1 + engine.DROPS[0]) * self.simulation.start_loss[run]
        return point if self.losses[point, run] <= jumped < np.inf else None

    def forecasts(self, judgements: Sequence[Judgement], rest: Sequence[dict[str, Any]]) -> list[Forecast]:
        """The forecast of each run, of which who knows the architecture says the rest."""
        asked, decays = self.asked, self.asked.decays
        unknown: dict[str, Any] = dict.fromkeys(("gap", "axis", "condensed_share", "sides"))
        late = late_curves(self.simulation, [one.left_by for one in judgements], self.drops, asked.budget or 0)
        return [
            Forecast(
                optimizer=asked.rule.optimizer,
                learning_rate=asked.learning_rates[run],
                weight_decay=decays[run],
                rule=asked.rule,
                late_steps=late[run][0],
                late_loss=late[run][1],
                horizon=asked.horizon,
                batch_size=asked.batch_size,
                seed=asked.seeds[run],
                **judgement._asdict(),
                **unknown | more,
            )
            for run, (judgement, more) in enumerate(zip(judgements, rest, strict=True))
        ]
