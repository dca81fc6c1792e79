"""What becomes of runs that stayed on their plateau: when it is forecast to end, and which setting would end it sooner.

While a network is on its plateau the gradient hardly changes the loss's curvature, so a run at r times the learning
rate goes the same way in one r-th of the steps. The end of a long plateau is therefore forecast at a larger rate, which
costs no more steps than the runs took.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from nucleate.activations import get_activation
from nucleate.errors import NucleateError
from nucleate.forecasting import Forecast
from nucleate.init_scale import Convention, InitScale, PerLayer
from nucleate.problems import Problem
from nucleate.problems.moments import relative_weights
from nucleate.studies import STUCK, Plan, PlannedRun, Study, StudySpec, tables
from nucleate.sweeping.forecasts import forecast_runs

FACTORS = (3, 10, 30)
"""How many times as large the learning rates and init scales are that are tried."""
ACTIVATIONS = ("relu", "xtanh")
"""Activations whose leading part learns what a linear one cannot: tried where nothing pulls at the plateau."""
MOST_CELLS, MOST_SEEDS, MOST_STEPS = 2, 2, 5000
"""Of how many cells, how many seeds of each and how many steps forecasts are made, so that they stay cheap."""
LEAST_SHARE = 0.01
"""A linear leading part that can take off no more than this share of the loss does not end the plateau."""


@dataclass(frozen=True)
class Remedy:
    """One setting changed, and by which step every seed that was forecast has then left its plateau.

    Parameters
    ----------
    setting : {"gain", "epsilon", "gamma", "fan_in_gamma", "lr", "weight_decay", "bias", "activation"}
    value : float, PerLayer or str
    end : int
    in_regime : bool
        Whether the theory's intervals hold there; otherwise the step is an order of magnitude.
    """

    setting: str
    value: float | PerLayer | str
    end: int
    in_regime: bool


@dataclass(frozen=True)
class Outlook:
    """What is to be expected of the stuck runs of one init scale, learning rate and weight decay.

    Parameters
    ----------
    convention : str
    scale : float or PerLayer
    lr : float
    runs, steps : int
        How many are stuck, and how many steps they took.
    end : int or None
        By which step they are forecast to have left the plateau, rates and scales being as they are.
    searched : int
        How many steps of a changed setting are forecast.
    linear_share : float or None
        The share of what the plateau leaves, in squares, that the inputs explain linearly. Up to 1 % a network whose
        activation is linear at zero never leaves the plateau, to leading order: so it is with XOR, or a parabola. None
        for other activations.
    remedies : tuple of Remedy
        Those of the settings tried that are forecast to end the plateau within ``searched`` steps.
    tried : tuple of str
        Which settings were.
    reason : str or None
        The sentence that says why there is no forecast, where there is none.
    weight_decay : float
    decays : bool
        Whether weight decay is a part of how the study's runs step.
    decays_away : bool
        Whether the weights shrink faster than they can grow, so that the plateau never ends, to leading order.
    """

    convention: Convention
    scale: float | PerLayer
    lr: float
    runs: int
    steps: int
    end: int | None = None
    searched: int = 0
    linear_share: float | None = None
    remedies: tuple[Remedy, ...] = ()
    tried: tuple[str, ...] = ()
    reason: str | None = None
    weight_decay: float = 0.0
    decays: bool = False
    decays_away: bool = False

    @property
    def followed(self) -> int:
        """How many steps of their own rate the forecast reaches."""
        return FACTORS[-1] * self.searched

    @property
    def verdict(self) -> Literal["no forecast", "decays away", "never", "ends", "not so far"]:
        """What the forecast says of the plateau."""
        if self.reason is not None:
            return "no forecast"
        if self.decays_away:
            return "decays away"
        if _never(self.linear_share):
            return "never"
        return "not so far" if self.end is None else "ends"

    def to_json(self) -> dict[str, Any]:
        """The fields, the verdict and how far it was followed, as JSON has them.

        Returns
        -------
        dict
        """
        return {**asdict(self), "verdict": self.verdict, "followed": self.followed}


def outlooks(study: Study | str | Path) -> tuple[Outlook, ...]:
    """What is to be expected of the runs of a study that took their steps and never left their plateau.

    Forecasts are made for the two cells of the largest init scales and rates, and two seeds of each; of the others it
    is said how many steps they took.

    Parameters
    ----------
    study : Study or path

    Returns
    -------
    tuple of Outlook
        One for each cell of the grid with stuck runs; empty where there are none.

    Raises
    ------
    StudyError
        If the folder is not a study or is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from nucleate import sweep
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = sweep("diabetes", gains=[0.02], hidden=[20, 20], steps=200, out=f"{folder}/study", progress=False)
    ...     (stuck,) = outlooks(study)
    >>> stuck.steps, stuck.verdict, [remedy.setting for remedy in stuck.remedies]
    (200, 'ends', ['gain', 'lr'])
    """
    study = study if isinstance(study, Study) else Study.load(study)
    convention = study.spec.convention
    results = study.results
    if results.is_empty():
        return ()
    if tables.WEIGHT_DECAY not in results.columns:
        results = results.with_columns(weight_decay=pl.lit(study.spec.weight_decays[0]))
    stuck = results.filter(STUCK).partition_by(convention, "lr", tables.WEIGHT_DECAY, maintain_order=True)
    cells = sorted(
        stuck,
        key=lambda cell: (
            InitScale(convention, cell[convention][0]).smallness,
            -cell["lr"][0],
            cell[tables.WEIGHT_DECAY][0],
        ),
    )
    said = [
        Outlook(
            convention,
            study.spec.from_tables(cell[convention][0]),
            cell["lr"][0],
            len(cell),
            max(cell[tables.STEPS].to_list()),
            weight_decay=cell[tables.WEIGHT_DECAY][0],
            decays=study.spec.decays,
        )
        for cell in cells
    ]
    if not said:
        return ()
    reason = _unforecast(study.spec)
    if reason is None:
        try:
            problem, spec = study.load_problem(), study.spec
            kept = _forecast_of(study.identity, problem.loss, spec.optimizer, spec.activation)
            ahead = []
            for outlook, cell in zip(said[:MOST_CELLS], cells, strict=False):
                seeds = tuple(cell["seed"].to_list()[:MOST_SEEDS])
                if (outlook, seeds) not in kept:
                    kept[outlook, seeds] = _look_ahead(spec, problem, outlook, seeds)
                ahead.append(kept[outlook, seeds])
            rest = "Forecasts are made for the largest stuck starts only."
            said = [*ahead, *(replace(one, reason=rest) for one in said[MOST_CELLS:])]
        except NucleateError as error:
            reason = str(error)
    return tuple(said if reason is None else (replace(one, reason=reason) for one in said))


@lru_cache(maxsize=16)
def _forecast_of(identity: str, *definitions: Any) -> dict[tuple[Outlook, tuple[int, ...]], Outlook]:
    """What has been forecast of a study's cells and seeds: a page in each language asks for the same."""
    return {}


def _unforecast(spec: StudySpec) -> str | None:
    if spec.dropout:
        return "Forecasts are of training without dropout, and these runs had it."
    if not spec.schedule.is_constant:
        return (
            f"Under the schedule {spec.schedule.name!r} a plateau's end depends on how many steps are asked for; the "
            "command forecast says it for any number."
        )
    if spec.model is not None:
        return (
            "Which settings would end it is forecast of fully connected networks alone, for of other models that costs "
            "as much as training them; the command forecast says it of any setting."
        )
    return None


def _look_ahead(spec: StudySpec, problem: Problem, outlook: Outlook, seeds: Sequence[int]) -> Outlook:
    """The outlook with its forecasts: all but those of another architecture are made together."""
    share, steps = _linear_share(spec, problem), min(outlook.steps, MOST_STEPS)
    # Where the leading part cannot end the plateau, no rate does.
    rates = [] if _never(share) else [float(f"{outlook.lr * factor:.3g}") for factor in FACTORS]
    decays = [outlook.weight_decay / FACTORS[1], 0.0] if outlook.weight_decay else []
    spec = spec.model_copy(update={"weight_decays": (outlook.weight_decay,)})
    own = PlannedRun(0, outlook.scale, outlook.lr, 0, outlook.weight_decay)
    changed: list[tuple[str, float | PerLayer, PlannedRun]] = [
        *((outlook.convention, scale, replace(own, scale=scale)) for scale in _larger(spec, outlook.scale)),
        *(("lr", rate, replace(own, learning_rate=rate)) for rate in rates),
        *((tables.WEIGHT_DECAY, decay, replace(own, weight_decay=decay)) for decay in decays),
    ]
    found = _forecasts(spec, problem, [cell for *_, cell in changed], seeds, steps)
    tried: list[tuple[str, float | PerLayer | str, _End | None]] = [
        (setting, value, _last(forecasts, steps)) for (setting, value, _), forecasts in zip(changed, found, strict=True)
    ]
    by_rate = [forecasts for (setting, *_), forecasts in zip(changed, found, strict=True) if setting == "lr"]
    ends = [(factor, _last(group, steps)) for factor, group in zip(FACTORS, by_rate, strict=False)]
    left = [(factor, end.step) for factor, end in ends if end is not None]
    # The largest rate has come furthest.
    decays_away = any(all(forecast.decays_away for forecast in group) for group in by_rate[-1:])
    for setting, name, other in _other_architectures(spec, moved=bool(left) or decays_away):
        (group,) = _forecasts(other, problem, [own], seeds, steps)
        tried.append((setting, name, _last(group, steps)))
    remedies: dict[str, Remedy] = {}
    for setting, value, end in tried:
        if end is not None:
            which = f"activation {value}" if setting == "activation" else setting
            remedies.setdefault(which, Remedy(setting, value, end.step, end.in_regime))
    return replace(
        outlook,
        # That they are stuck is known, whatever a forecast says.
        end=max(left[0][0] * left[0][1], outlook.steps + 1) if left else None,
        searched=steps,
        linear_share=share,
        remedies=tuple(remedies.values()),
        tried=tuple(dict.fromkeys(setting for setting, _, _ in tried)),
        decays_away=decays_away,
    )


def _never(linear_share: float | None) -> bool:
    return linear_share is not None and linear_share <= LEAST_SHARE


def _larger(spec: StudySpec, scale: float | PerLayer) -> list[float | PerLayer]:
    """Init scales that draw the weights so many times as large, none of them beyond gain 1 or what is like it.

    Of one with a number for each layer, all layers are made larger.
    """
    start, width = InitScale(spec.convention, scale), max(max(spec.hidden), 2)
    larger = [start.times(factor, width) for factor in FACTORS]
    # Up to the rounding of the numbers.
    largest = 1.001 * _largest_std(InitScale("gain", 1.0), width)
    return [one.value for one in larger if _largest_std(one, width) < largest]


def _largest_std(scale: InitScale, width: int) -> float:
    count = len(scale.value) if isinstance(scale.value, PerLayer) else 1
    return max(layer.std(width, width, output_layer=False) for layer in scale.layers(count))


def _other_architectures(spec: StudySpec, *, moved: bool) -> Iterator[tuple[str, str, StudySpec]]:
    if spec.bias == "none":
        yield "bias", "all", spec.model_copy(update={"bias": "all"})
    if not moved:
        for name in ACTIVATIONS:
            if name != spec.activation.name:
                yield "activation", name, spec.model_copy(update={"activation": get_activation(name)})


class _End(NamedTuple):
    """By which step the plateau ends, and whether by the theory's regime."""

    step: int
    in_regime: bool


def _forecasts(
    spec: StudySpec, problem: Problem, cells: Sequence[PlannedRun], seeds: Sequence[int], steps: int
) -> list[list[Forecast]]:
    """For each cell those of its seeds."""
    if not cells:
        return []
    runs = [replace(cell, seed=seed) for cell in cells for seed in seeds]
    forecasts = forecast_runs(Plan(spec), runs, problem, horizon=steps, budget=steps)
    return [forecasts[start : start + len(seeds)] for start in range(0, len(runs), len(seeds))]


def _last(forecasts: Sequence[Forecast], steps: int) -> _End | None:
    """By when the last of the seeds has left its plateau; None where one has not."""
    ends = [forecast.left_by for forecast in forecasts]
    # A leading part that diverges behind its descent says nothing good of so large a rate or scale.
    losses = [forecast.loss_by(steps) for forecast in forecasts]
    if not all(loss is not None and math.isfinite(loss) for loss in losses):
        return None
    known = [end for end in ends if end is not None]
    return _End(max(known), all(forecast.in_regime for forecast in forecasts))


def _linear_share(spec: StudySpec, problem: Problem) -> float | None:
    """The share of what the plateau leaves, in squares, that the inputs explain linearly."""
    if not spec.activation.slope:
        return None
    x, y, weights = problem.train.x.astype(np.float64), problem.train.y, problem.train.weights
    fits_constants = spec.bias == "all" or spec.activation.value != 0
    if spec.bias != "none" or fits_constants:
        x = np.column_stack([x, np.ones(len(x))])
    outputs = problem.loss.constant_outputs(y, weights) if fits_constants else np.zeros(y.shape[1])
    residuals = np.asarray(problem.loss.residual(np.broadcast_to(outputs, y.shape), y), np.float64)
    if weights is not None:
        x, residuals = (np.sqrt(relative_weights(weights))[:, None] * one for one in (x, residuals))
    size = float(np.sum(residuals**2))
    if size == 0:
        return 0.0
    left = residuals - x @ np.linalg.lstsq(x, residuals, rcond=None)[0]
    return float(1 - np.sum(left**2) / size)
