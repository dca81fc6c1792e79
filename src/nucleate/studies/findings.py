"""What a study found, in numbers: the cells of its grid, which of them condense, and which is to be recommended."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from nucleate.errors import StudyError
from nucleate.problems import Metric
from nucleate.studies import tables
from nucleate.studies.folder import Study
from nucleate.studies.summary import measured_layers, summarize, works_as_few
from nucleate.training import TRAINED

AS_GOOD = 0.01
"""A cell is as good as the best if its median is worse by no more than this share."""


@dataclass(frozen=True)
class Cell:
    """One (init scale, learning rate): medians over the seeds that trained; NaN where none did.

    Parameters
    ----------
    scale, lr : float
    runs : tuple of int
        The finished ones.
    trained : int
        How many of them trained to their end.
    fewest, final : tuple of float
        Effective neurons of each measured layer: where the layer is most condensed, and at the end.
    fewest_few : bool
        Whether all layers work as few neurons where they are most condensed.
    condensed, ends_condensed : bool
        Whether they do so and the run left its plateau; and whether it is so at the end.
    validation, worst_validation, test : float
        Of the metric, at each run's best validated evaluation; the second of the worst seed.
    plateau_end : float
        NaN where the plateau lasts.
    stage, status : str
    """

    scale: float
    lr: float
    runs: tuple[int, ...]
    trained: int
    fewest: tuple[float, ...]
    final: tuple[float, ...]
    fewest_few: bool
    condensed: bool
    ends_condensed: bool
    validation: float
    worst_validation: float
    test: float
    plateau_end: float
    stage: str
    status: str


@dataclass(frozen=True)
class ForecastCheck:
    """Forecast against measured steps of the 10 % drop, over the runs in the theory's regime that had one."""

    runs: int
    inside: int
    median_error: float
    outside_regime: int


@dataclass(frozen=True, eq=False)
class Findings:
    """What a study found. The best cell is chosen on validation; the test rows only say how good it is.

    Parameters
    ----------
    study : Study
    layers : dict of str to int
        The width of every measured layer, by its name.
    cells : tuple of Cell
    forecast : ForecastCheck or None
        None of a study without forecasts.
    """

    study: Study
    layers: dict[str, int]
    cells: tuple[Cell, ...]
    forecast: ForecastCheck | None

    @property
    def metric(self) -> Metric:
        """What predictions are judged by."""
        return self.study.metric

    @cached_property
    def trained(self) -> tuple[Cell, ...]:
        """The cells in which some seed trained."""
        return tuple(cell for cell in self.cells if cell.trained)

    def smallness(self, cell: Cell) -> float:
        """Grows as the init scale gets smaller: a larger gamma is a smaller scale."""
        return cell.scale if self.study.spec.convention == "gamma" else -cell.scale

    @cached_property
    def largest_scale(self) -> Cell:
        """Of the largest init scale that trained, the best validated cell: what small starts are held against."""
        largest = min(map(self.smallness, self.trained))
        return min((cell for cell in self.trained if self.smallness(cell) == largest), key=self._cost)

    def _cost(self, cell: Cell) -> float:
        return self.metric.cost(cell.validation)

    @cached_property
    def best(self) -> Cell:
        """The best validated cell."""
        return min(self.trained, key=self._cost)

    @cached_property
    def condensed(self) -> tuple[Cell, ...]:
        """The cells that condensed, the most condensed first."""
        return tuple(sorted((cell for cell in self.trained if cell.condensed), key=lambda cell: self.size(cell.fewest)))

    @cached_property
    def boundary(self) -> Cell:
        """The largest init scale that condensed."""
        return min(self.condensed, key=self.smallness)

    @cached_property
    def recommended(self) -> Cell:
        """Of the good cells better than `largest_scale`, or else that end condensed, that of the fewest neurons.

        Where there is neither, it is `largest_scale`.
        """
        largest = self.largest_scale
        better = [cell for cell in self.good if self.is_worse(largest, cell)]
        smaller = [cell for cell in self.good if cell.scale != largest.scale and cell.ends_condensed]
        smaller = [cell for cell in smaller if self.size(cell.final) < self.size(largest.final)]
        return min(better or smaller or [largest], key=lambda cell: self.size(cell.final))

    @cached_property
    def recommended_run(self) -> int:
        """Of its runs, the best validated one."""
        runs = self.study.results.filter(pl.col("run").is_in(self.recommended.runs) & pl.col("status").is_in(TRAINED))
        return int(runs.sort("best_validation_loss")["run"][0])

    @cached_property
    def good(self) -> tuple[Cell, ...]:
        """The cells as good as the best on validation."""
        best = self._cost(self.best)
        return tuple(cell for cell in self.trained if self._cost(cell) <= best + AS_GOOD * abs(best))

    @property
    def is_confirmed(self) -> bool:
        """Whether on the test rows too the recommended cell is better than `largest_scale`."""
        return self.metric.cost(self.recommended.test) < self.metric.cost(self.largest_scale.test)

    def is_worse(self, cell: Cell, than: Cell) -> bool:
        """Whether a cell's median on validation is worse than the other's worst seed and by more than `AS_GOOD`."""
        theirs, worst = self._cost(than), self.metric.cost(than.worst_validation)
        return self._cost(cell) > max(worst, theirs + AS_GOOD * abs(theirs))

    def size(self, neurons: tuple[float, ...]) -> float:
        """Effective neurons as a share of the width, averaged over the layers."""
        widths = self.layers.values()
        return sum(count / width for count, width in zip(neurons, widths, strict=True)) / len(widths)

    @cached_property
    def stuck(self) -> int:
        """How many runs ended on their initial plateau."""
        return self.study.results.filter(pl.col("stage") == "initial plateau").height

    @cached_property
    def failed(self) -> int:
        """How many runs ended without having trained: diverged, NaN, underflow, dead."""
        return self.study.results.filter(~pl.col("status").is_in(TRAINED)).height


def study_findings(study: Study) -> Findings | None:
    """The findings of a study; None while no run is finished.

    Parameters
    ----------
    study : Study
        Finished or not; what is finished counts.

    Returns
    -------
    Findings or None

    Raises
    ------
    StudyError
        If the study's model has no measured layers.
    """
    results = study.results
    if results.is_empty():
        return None
    layers = measured_layers(study)
    cells = tuple(_cell(study, results, layers, row) for row in summarize(study).iter_rows(named=True))
    return Findings(study, layers, cells, _check_forecast(study, results))


def recommended_run(study: Study) -> int:
    """The number of the run that the page recommends: of the recommended init scale and rate, the best validated seed.

    Parameters
    ----------
    study : Study

    Returns
    -------
    int

    Raises
    ------
    StudyError
        If no run of the study has trained, or its model has no measured layers.
    """
    findings = study_findings(study)
    if findings is None or not findings.trained:
        raise StudyError(f"No run of {study.path} has trained to its end; sweep into the folder first.")
    return findings.recommended_run


def _cell(study: Study, results: pl.DataFrame, layers: dict[str, int], row: dict[str, Any]) -> Cell:
    spec, metric = study.spec, study.metric
    runs = results.filter((pl.col(spec.convention) == row[spec.convention]) & (pl.col("lr") == row["lr"]))
    trained = runs.filter(pl.col("status").is_in(TRAINED))
    fewest, final = (
        tuple(_number(row[column(layer)]) for layer in layers)
        for column in (tables.fewest_effective_neurons, tables.effective_neurons)
    )
    left = row["stage"] != "initial plateau"
    validation = trained[tables.metric_on_validation(metric.name)]
    return Cell(
        scale=row[spec.convention],
        lr=row["lr"],
        runs=tuple(runs["run"]),
        trained=len(trained),
        fewest=fewest,
        final=final,
        fewest_few=_few(fewest, layers),
        condensed=left and _few(fewest, layers),
        ends_condensed=left and _few(final, layers),
        validation=_number(validation.median()),
        worst_validation=_number(validation.min() if metric.larger_is_better else validation.max()),
        test=_number(row[tables.metric_on_test(metric.name)]),
        plateau_end=_number(row["plateau_end"]),
        stage=row["stage"] or "",
        status=row["status"],
    )


def _few(neurons: tuple[float, ...], layers: dict[str, int]) -> bool:
    return works_as_few(neurons, tuple(layers.values()))


def _check_forecast(study: Study, results: pl.DataFrame) -> ForecastCheck | None:
    forecasts = study.forecasts
    if forecasts.is_empty():
        return None
    expected = forecasts.select("run", "in_regime", "lower_10", "upper_10", expected="drop_10_percent")
    both = results.join(expected, on="run")
    judged = both.filter(
        pl.col("in_regime") & pl.col("expected").is_not_null() & pl.col("drop_10_percent").is_not_null()
    )
    error = (judged["drop_10_percent"] / judged["expected"] - 1).abs()
    return ForecastCheck(
        runs=len(judged),
        inside=judged.filter(pl.col("drop_10_percent").is_between("lower_10", "upper_10")).height,
        median_error=_number(error.median()),
        outside_regime=both.filter(~pl.col("in_regime")).height,
    )


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
