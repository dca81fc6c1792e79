"""What a study found, in numbers: the cells of its grid, which of them condense, and which is to be recommended."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from nucleate.errors import StudyError
from nucleate.studies.folder import Study
from nucleate.studies.summary import summarize

CONDENSED_SHARE, CONDENSED_COUNT = 0.1, 2.0
"""A layer has condensed when it works as a tenth of its neurons, or as two of them."""
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
        How many of them neither diverged nor died.
    fewest, final : tuple of float
        Effective neurons of each hidden layer: at the layer's most condensed moment, and at the end.
    fewest_few : bool
        Whether all hidden layers work as few neurons at their most condensed moment.
    condensed, ends_condensed : bool
        Whether they do so and the run left its plateau; and whether it is so at the end.
    validation, worst_validation, test : float
        Of the metric, at each run's best validated step; the second of the worst seed.
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
    """What a study found. The best cell is chosen on validation; the test rows only say how good it is."""

    study: Study
    cells: tuple[Cell, ...]
    metric: str
    forecast: ForecastCheck | None

    @cached_property
    def trained(self) -> tuple[Cell, ...]:
        """The cells in which some seed trained."""
        return tuple(cell for cell in self.cells if cell.trained)

    def smallness(self, cell: Cell) -> float:
        """Grows as the init scale gets smaller: a larger gamma is a smaller scale."""
        return cell.scale if self.study.spec.convention == "gamma" else -cell.scale

    def loss(self, value: float) -> float:
        """The metric, turned so that smaller is better."""
        return value if self.metric == "rmse" else -value

    @cached_property
    def usual(self) -> Cell:
        """The best validated cell of the largest init scale that trained: what one would have done anyway."""
        largest = min(map(self.smallness, self.trained))
        return min(
            (cell for cell in self.trained if self.smallness(cell) == largest),
            key=lambda cell: self.loss(cell.validation),
        )

    @cached_property
    def best(self) -> Cell:
        """The best validated cell."""
        return min(self.trained, key=lambda cell: self.loss(cell.validation))

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
        """Of the good cells better than the usual one, or else that end condensed, that of the fewest neurons.

        Where there is neither, it is the usual one.
        """
        usual = self.usual
        better = [cell for cell in self.good if self.is_worse(usual, cell)]
        smaller = [cell for cell in self.good if cell.scale != usual.scale and cell.ends_condensed]
        smaller = [cell for cell in smaller if self.size(cell.final) < self.size(usual.final)]
        return min(better or smaller or [usual], key=lambda cell: self.size(cell.final))

    @cached_property
    def recommended_run(self) -> int:
        """Of its runs, the best validated one."""
        runs = self.study.results.filter(
            pl.col("run").is_in(self.recommended.runs) & pl.col("status").is_in(["finished", "early_stopped"])
        )
        return int(runs.sort("best_validation_loss")["run"][0])

    @cached_property
    def good(self) -> tuple[Cell, ...]:
        """The cells as good as the best on validation."""
        best = self.loss(self.best.validation)
        return tuple(cell for cell in self.trained if self.loss(cell.validation) <= best + AS_GOOD * abs(best))

    @property
    def is_confirmed(self) -> bool:
        """Whether on the test rows too the recommended cell is better than the usual one."""
        return self.loss(self.recommended.test) < self.loss(self.usual.test)

    def is_worse(self, cell: Cell, than: Cell) -> bool:
        """Whether a cell's median on validation is worse than the other's worst seed and by more than `AS_GOOD`."""
        theirs = self.loss(than.validation)
        return self.loss(cell.validation) > max(self.loss(than.worst_validation), theirs + AS_GOOD * abs(theirs))

    def size(self, neurons: tuple[float, ...]) -> float:
        """Effective neurons as a share of the width, averaged over the layers."""
        hidden = self.study.spec.hidden
        return sum(count / width for count, width in zip(neurons, hidden, strict=True)) / len(hidden)

    @cached_property
    def stuck(self) -> int:
        """How many runs ended on their initial plateau."""
        return self.study.results.filter(pl.col("stage") == "initial plateau").height

    @cached_property
    def failed(self) -> int:
        """How many runs ended by themselves: diverged, no number, underflow, dead."""
        return self.study.results.filter(~pl.col("status").is_in(["finished", "early_stopped"])).height


def find(study: Study) -> Findings | None:
    """The findings of a study; None while no run is finished."""
    results = study.results
    if results.is_empty():
        return None
    metric = next(name.removeprefix("test_") for name in results.columns if name.startswith("test_"))
    cells = tuple(_cell(study, results, row, metric) for row in summarize(study).iter_rows(named=True))
    return Findings(study, cells, metric, _check_forecast(study, results))


def recommended_run(study: Study) -> int:
    """The number of the run that the page recommends: of the recommended init scale and rate, the best validated seed.

    Raises
    ------
    StudyError
        If no run of the study has trained.
    """
    findings = find(study)
    if findings is None or not findings.trained:
        raise StudyError(f"No run of {study.path} has trained to its end; sweep into the folder first.")
    return findings.recommended_run


def _cell(study: Study, results: pl.DataFrame, row: dict[str, Any], metric: str) -> Cell:
    spec = study.spec
    runs = results.filter((pl.col(spec.convention) == row[spec.convention]) & (pl.col("lr") == row["lr"]))
    trained = runs.filter(pl.col("status").is_in(["finished", "early_stopped"]))
    layers = range(1, len(spec.hidden) + 1)
    fewest, final = (
        tuple(_number(row[f"{kind}_neurons_{layer}"]) for layer in layers) for kind in ("fewest_effective", "effective")
    )
    left = row["stage"] != "initial plateau"
    validation = trained[f"validation_{metric}"]
    return Cell(
        scale=row[spec.convention],
        lr=row["lr"],
        runs=tuple(runs["run"]),
        trained=len(trained),
        fewest=fewest,
        final=final,
        fewest_few=_few(fewest, spec.hidden),
        condensed=left and _few(fewest, spec.hidden),
        ends_condensed=left and _few(final, spec.hidden),
        validation=_number(validation.median()),
        worst_validation=_number(validation.max() if metric == "rmse" else validation.min()),
        test=_number(row[f"test_{metric}"]),
        plateau_end=_number(row["plateau_end"]),
        stage=row["stage"] or "",
        status=row["status"],
    )


def _few(neurons: tuple[float, ...], hidden: tuple[int, ...]) -> bool:
    return all(
        count <= max(CONDENSED_SHARE * width, CONDENSED_COUNT) for count, width in zip(neurons, hidden, strict=True)
    )


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
