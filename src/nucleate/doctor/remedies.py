"""Settings that are tried, or forecast, against what holds a run back."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import jax
import numpy as np

from nucleate.activations import get_activation
from nucleate.doctor.evidence import (
    HELD_BACK,
    LEAST,
    Evidence,
    explained,
    gains_of,
    has_forgotten,
    is_better,
    settings_of,
)
from nucleate.errors import NucleateError, SpecError
from nucleate.forecasting import forecast_many
from nucleate.init_scale import InitScale, PerLayer
from nucleate.network import Network
from nucleate.optimizers import ADAM, get_optimizer
from nucleate.problems import Problem, Split, get_loss
from nucleate.schedules import get_schedule
from nucleate.training import TRAINED, Run, Settings, train_many

FEW_ROWS = 20
"""From so many validation rows on a trial must be better beyond their noise too."""
MOST_STEPS = 20_000
"""A trial takes as many steps as the run, or as the remedy asks for, but no more than these."""
STARTS = 8
"""Starts by which the chance of getting stuck is told."""
FACTORS = (3, 10, 30)
"""How many times as large the rates and starts are whose plateaus are forecast."""
_FORECAST_STEPS = 5000
_RECIPE_STEPS, _RECIPE_RATE, _RECIPE_WIDTH = 3000, 0.003, 64


@dataclass(frozen=True)
class Remedy:
    """One setting changed.

    Parameters
    ----------
    setting : str
        As the package calls it: ``lr``, ``gain``, ``hidden``, ``steps``, ``activation``, ``seed``, ``dtype``, ``eps``,
        ``clip``, ``weight_decay``, ``undecayed``, ``schedule``, ``reduction``, ``reshape``, ``unsquash``, ``unbound``,
        ``train``, ``loss``, ``standardize``, ``rescaled``, ``dropout``, ``shuffle``, ``norm``, ``batch_size``,
        ``zero_grad``, ``without``, ``early_stopping``;
        ``undecayed`` is a rate without a weight decay, ``rescaled`` one with standardized inputs, ``scale`` multiplies
        all parameters, ``recipe`` is the package's own start, rate, width and standardization together, and ``fresh``
        of a module a start by its parts, Adam and standardized data.
    value : float, int, str, bool or tuple
    known : {"rule", "forecast", "tried"}
        Whether it is what the verdict asks for, was forecast, or was tried.
    end : int or None
        By which step the initial plateau is forecast to end.
    explained : float or None
        Of a trial, the share of the constant's loss that its best network takes off on the validation rows; or its last
        one, where it forgets what it learned.
    steps : int or None
        That the trial took.
    helped : bool or None
        Whether the trial learned beyond the run; None where it was not tried.
    """

    setting: str
    value: Any
    known: Literal["rule", "forecast", "tried"] = "rule"
    end: int | None = None
    explained: float | None = None
    steps: int | None = None
    helped: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON has them.

        Returns
        -------
        dict
        """
        return asdict(self)

    def __str__(self) -> str:
        what = f"{self.setting} {self.value}"
        if self.helped is not None:
            told = "" if self.explained is None else f", explained {self.explained:.3g}"
            return f"{what}: tried, {'helped' if self.helped else 'did not help'}{told}"
        return what + (": to try" if self.end is None else f": plateau forecast to end by step {self.end}")


Change = tuple[str, Any]


class Attempts(ABC):
    """Settings changed one after the other, and what comes of it."""

    @abstractmethod
    def _attempt(self, name: str, value: Any) -> Remedy:
        """What comes of one change; a rule where it cannot be made."""

    def forecasts(self) -> tuple[int | None, list[Remedy]]:
        """The step at which the plateau is forecast to end, and starts and rates that end it sooner."""
        return None, []

    def stuck_share(self, hidden: tuple[int, ...]) -> float:
        """The share of starts that do not get as far as this problem was seen to let them, with these widths."""
        raise SpecError("The widths of this model are not changed.")

    def first_that_helps(self, changes: Sequence[Change]) -> list[Remedy]:
        """What comes of changes in turn; those behind one that helped, or that cannot be made, are left as rules.

        First comes that which helped, then what was not tried, and last what did not help.
        """
        remedies: list[Remedy] = []
        for change in changes:
            helped = any(one.helped for one in remedies)
            remedies.append(Remedy(*change) if helped else self._attempt(*change))
        return sorted(remedies, key=lambda one: (not one.helped, one.known == "tried"))


@dataclass(frozen=True, eq=False)
class Trials(Attempts):
    """Trains a run anew with one setting changed."""

    run: Run
    problem: Problem
    evidence: Evidence

    def _attempt(self, name: str, value: Any) -> Remedy:
        try:
            trial, problem = self._train(name, value)
        except NucleateError:
            return Remedy(name, value)
        share, forgets = _explained_by(trial, problem)
        helped = self._helps(trial, problem, share, forgets=forgets)
        return Remedy(name, value, "tried", None, share, trial.steps, helped)

    def _helps(self, trial: Run, problem: Problem, share: float, *, forgets: bool) -> bool:
        if trial.status not in TRAINED or share <= max(LEAST, self.evidence.to_beat):
            return False
        if self.evidence.validation_rows < FEW_ROWS or problem is not self.problem:
            return True
        own = self.run.final if self.evidence.has_forgotten else self.run.best
        return is_better(self.problem, trial.final if forgets else trial.best, own)

    def stuck_share(self, hidden: tuple[int, ...]) -> float:
        settings = _settings(self.run)
        networks = [self._network(hidden=hidden, seed=seed) for seed in range(STARTS)]
        runs = self._train_all(networks, self.problem, settings, self.run.learning_rate, self.run.weight_decay)
        shares = np.array([_explained_by(run, self.problem)[0] for run in runs])
        return float(np.mean(shares < HELD_BACK * max(shares.max(), self.evidence.explained)))

    def _train(self, setting: str, value: Any) -> tuple[Run, Problem]:
        problem, settings, rate, model = self.problem, _settings(self.run), self.run.learning_rate, self.run.initial
        decay = self.run.weight_decay
        match setting:
            case "lr":
                rate = value
            case "weight_decay":
                decay = value
            case "rescaled":
                problem, rate = standardized(problem, "inputs"), value
            case "undecayed":
                rate, decay = value, 0.0
            case "steps":
                settings = settings.model_copy(update={"steps": value, "early_stopping": False})
            case "scale":
                model = _scaled(model, value)
            case "gain" | "hidden" | "activation" | "seed" | "dtype":
                model = self._network(**{setting: value})
            case "eps":
                given = settings.optimizer.to_json()
                given = {"name": given} if isinstance(given, str) else given
                settings = settings.model_copy(update={"optimizer": get_optimizer({**given, "eps": value})})
            case "dropout" | "clip":
                settings = settings.model_copy(update={setting: value})
            case "schedule":
                settings = settings.model_copy(update={"schedule": get_schedule(value)})
            case "loss":
                problem = replace(problem, loss=get_loss(value))
            case "standardize":
                problem = standardized(problem, value)
            case "recipe":
                if not isinstance(model, Network):
                    raise NucleateError("The recipe is that of a Network.")
                problem = standardized(standardized(problem, "inputs"), "target")
                hidden = (max(_RECIPE_WIDTH, *model.hidden),) * 2
                model = self._network(gain=1.0, hidden=hidden, activation="relu", bias=True)
                steps = max(settings.steps, _RECIPE_STEPS)
                settings = Settings(optimizer=ADAM, steps=min(steps, MOST_STEPS), evaluations=settings.evaluations)
                rate, decay = _RECIPE_RATE, 0.0
            case _:
                raise NucleateError(f"{setting} is not tried.")
        (run,) = self._train_all([model], problem, settings, rate, decay)
        return run, problem

    def _train_all(
        self, models: Sequence[Any], problem: Problem, settings: Settings, rate: float, decay: float
    ) -> list[Run]:
        decayed = [decay] * len(models) if decay or settings.optimizer.decoupled else None
        return train_many(
            models,
            problem,
            learning_rates=[rate] * len(models),
            weight_decays=decayed,
            seeds=[self.run.seed] * len(models),
            measures=(),
            **dict(settings),
        )

    def _network(
        self,
        gain: float | None = None,
        hidden: tuple[int, ...] | None = None,
        activation: str | None = None,
        seed: int | None = None,
        dtype: str | None = None,
        bias: bool | None = None,
    ) -> Network:
        old = self.run.initial
        if not isinstance(old, Network):
            raise NucleateError("Only a Network can be made anew.")
        if dtype is not None:
            return old.astype(dtype)
        gains = gains_of(old)
        if hidden is not None and len(hidden) != len(old.hidden):
            gains = gains[: len(hidden) + 1]
        return Network.create(
            old.widths[0],
            old.hidden if hidden is None else hidden,
            old.widths[-1],
            scale=InitScale("gain", PerLayer(gains) if gain is None else gain),
            activation=old.activation if activation is None else get_activation(activation),
            bias=[given is not None for given in old.biases] if bias is None else bias,
            seed=self.run.seed if seed is None else seed,
            dtype=old.dtype,
        )

    def forecasts(self) -> tuple[int | None, list[Remedy]]:
        # On a plateau, a run at r times the rate goes the same way in one r-th of the steps.
        run, settings = self.run, _settings(self.run)
        steps = min(settings.steps, _FORECAST_STEPS)
        gains = gains_of(run.initial)
        starts = [factor for factor in FACTORS if gains and factor * max(gains) <= 1.5]
        networks = [_scaled(run.initial, factor) for factor in starts] + [run.initial] * len(FACTORS)
        rates = [run.learning_rate] * len(starts) + [run.learning_rate * factor for factor in FACTORS]
        if settings.dropout or not settings.schedule.is_constant or not isinstance(run.initial, Network):
            return None, []
        try:
            ahead = forecast_many(
                networks,
                self.problem,
                learning_rates=rates,
                weight_decays=[run.weight_decay] * len(rates) if run.weight_decay else None,
                optimizer=settings.optimizer,
                clip=settings.clip,
                batch_size=settings.batch_size,
                seeds=[run.seed] * len(rates),
                horizon=steps,
                budget=steps,
            )
        except NucleateError:
            return None, []
        by_start, by_rate = (
            [(factor, one.left_by) for factor, one in zip(factors, of, strict=True) if one.left_by is not None]
            for factors, of in ((starts, ahead[: len(starts)]), (FACTORS, ahead[len(starts) :]))
        )
        remedies = [Remedy("scale", float(factor), "forecast", end) for factor, end in by_start[-1:]]
        if not by_rate:
            return None, remedies
        factor, end = by_rate[0]
        faster = Remedy("lr", float(f"{factor * run.learning_rate:.3g}"), "forecast", end)
        return max(factor * end, run.steps + 1), [*remedies, faster]


def standardized(problem: Problem, what: str) -> Problem:
    """The problem with its inputs, or its targets, of mean 0 and standard deviation 1 on the training rows."""
    if what == "target" and problem.loss.of_classes:
        return problem

    name = "x" if what == "inputs" else "y"
    rows = getattr(problem.train, name)
    mean, std = rows.mean(axis=0), rows.std(axis=0)

    def part(split: Split) -> Split:
        return replace(split, **{name: (getattr(split, name) - mean) / np.where(std > 0, std, 1.0)})

    return replace(problem, train=part(problem.train), validation=part(problem.validation), test=part(problem.test))


def _settings(run: Run) -> Settings:
    settings = settings_of(run)
    fields = {name: getattr(settings, name) for name in Settings.model_fields}
    return Settings(**fields | {"steps": min(settings.steps, MOST_STEPS), "evaluations": min(settings.evaluations, 40)})


def _scaled(model: Any, factor: float) -> Any:
    return jax.tree.map(lambda leaf: (factor * leaf).astype(leaf.dtype), model)


def _explained_by(run: Run, problem: Problem) -> tuple[float, bool]:
    """On validation, at the best evaluation, or at the last of a run that forgets; the constant's own.

    And whether it forgets.
    """
    training, validation = (run.trajectory[name].to_numpy() for name in ("train_loss", "validation_loss"))
    constant = problem.loss.constant_outputs(problem.train.y, problem.train.weights)
    of_train, of_validation = (
        float(problem.loss(np.broadcast_to(constant, part.y.shape), part.y, part.weights))
        for part in (problem.train, problem.validation)
    )
    forgets = has_forgotten(training, of_train, validation, of_validation)
    return explained(float(validation[-1] if forgets else validation.min()), of_validation), forgets
