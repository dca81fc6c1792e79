"""What a study found, in numbers: the cells of its grid, which of them condense, and which is to be recommended."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from nucleate.baselines import Contender
from nucleate.errors import NucleateError, StudyError
from nucleate.init_scale import InitScale, PerLayer
from nucleate.problems import Metric, Problem
from nucleate.studies import tables
from nucleate.studies.folder import Study
from nucleate.studies.judgement import (
    Judgement,
    Standing,
    compare_cells,
    hold_against_baselines,
    load_judgement,
    own_problem,
)
from nucleate.studies.summary import FAILED, LEARNED, STUCK, measured_layers, summarize

CONDENSED_SHARE, CONDENSED_COUNT = 0.1, 2.0
"""A layer has condensed when it works as a tenth of its neurons, or as two of them if that is no more than half.

That so few do its work is part of how effective neurons are counted: at most 5 % of its output variance is lost.
"""


@dataclass(frozen=True)
class Cell:
    """One (init scale, learning rate, weight decay): medians over the runs that left their plateau.

    Where none did, the medians are of those stuck on it, and where no run trained they are NaN.

    Parameters
    ----------
    scale : float or PerLayer
    lr, weight_decay : float
    runs, told : tuple of int
        The finished ones, and those of which the medians are.
    learned, stuck : int
        How many of them trained and left their plateau; and how many trained and did not.
    condensed_runs : int
        In how many of those that left their plateau all layers worked as few neurons at some time.
    fewest, final : tuple of float
        Effective neurons of each measured layer: where the layer is most condensed, and at the end.
    fewest_few : bool
        Whether by the medians all layers work as few neurons where they are most condensed.
    ends_condensed : bool
        Whether they do so at the end, in runs that left their plateau.
    validation, test : float
        Of the metric, at each run's best validated evaluation.
    plateau_end : float
        NaN where the plateau lasts.
    """

    scale: float | PerLayer
    lr: float
    weight_decay: float
    runs: tuple[int, ...]
    told: tuple[int, ...]
    learned: int
    stuck: int
    condensed_runs: int
    fewest: tuple[float, ...]
    final: tuple[float, ...]
    fewest_few: bool
    ends_condensed: bool
    validation: float
    test: float
    plateau_end: float

    @property
    def trained(self) -> int:
        """How many runs trained to their end."""
        return self.learned + self.stuck

    @property
    def failed(self) -> int:
        """How many runs ended without having trained."""
        return len(self.runs) - self.trained

    @property
    def on_plateau(self) -> bool:
        """Whether runs trained and none left its plateau."""
        return self.trained > 0 and self.learned == 0

    @property
    def learned_in_part(self) -> bool:
        """Whether some runs left their plateau, and others did not or failed."""
        return 0 < self.learned < len(self.runs)

    @property
    def condensed(self) -> bool:
        """Whether most of the runs that left their plateau condensed."""
        return 2 * self.condensed_runs > self.learned


@dataclass(frozen=True)
class ForecastCheck:
    """Forecast against measured steps of the 10 % drop, over the runs in the theory's regime that had one.

    Beside these, of how many runs a drop was forecast in the regime, had it come or not, and outside it.
    """

    runs: int
    inside: int
    median_error: float
    in_regime: int
    outside_regime: int


@dataclass(frozen=True, eq=False)
class Findings:
    """What a study found. The best cell is chosen on validation; the test rows only say how good it is.

    Parameters
    ----------
    study : Study
    cells : tuple of Cell
    forecast : ForecastCheck or None
        None of a study without forecasts.
    judgement : Judgement or None
        What the held-out rows say; None where the study keeps none and its data or networks cannot be read. Then no
        cell is called better than another, and the best validated one is recommended.
    """

    study: Study
    cells: tuple[Cell, ...]
    forecast: ForecastCheck | None
    judgement: Judgement | None = None

    @property
    def layers(self) -> dict[str, int]:
        """The width of every measured layer, by its name."""
        return self.study.layer_widths

    @property
    def metric(self) -> Metric:
        """What predictions are judged by."""
        return self.study.metric

    @cached_property
    def trained(self) -> tuple[Cell, ...]:
        """The cells in which some seed trained."""
        return tuple(cell for cell in self.cells if cell.trained)

    @cached_property
    def judged(self) -> tuple[Cell, ...]:
        """What there is to choose from: the cells in which a run left its plateau, or if none did, all that trained."""
        return tuple(cell for cell in self.trained if cell.learned) or self.trained

    def smallness(self, cell: Cell) -> float:
        """Grows as the init scale gets smaller; see `nucleate.InitScale.smallness`.

        Parameters
        ----------
        cell : Cell

        Returns
        -------
        float
        """
        return InitScale(self.study.spec.convention, cell.scale).smallness

    @cached_property
    def largest_scale(self) -> Cell:
        """Of the largest init scale that learned, the best validated cell: what small starts are held against.

        It has the smallest of the weight decays that learned there, so that decay is held against it too.
        """
        largest = min((self.smallness(cell), cell.weight_decay) for cell in self.judged)
        return min(
            (cell for cell in self.judged if (self.smallness(cell), cell.weight_decay) == largest), key=self._cost
        )

    def is_another_start(self, cell: Cell) -> bool:
        """Whether a cell has another init scale or weight decay than `largest_scale`; its rate alone makes no other.

        Parameters
        ----------
        cell : Cell

        Returns
        -------
        bool
        """
        largest = self.largest_scale
        return (cell.scale, cell.weight_decay) != (largest.scale, largest.weight_decay)

    def _cost(self, cell: Cell) -> float:
        # NaN would be less than nothing, and so the first one the best.
        return self.metric.cost(cell.validation) if math.isfinite(cell.validation) else math.inf

    @property
    def has_learned(self) -> bool:
        """Whether any run left its plateau."""
        return any(cell.learned for cell in self.cells)

    @property
    def is_compared(self) -> bool:
        """Whether cells were compared; runs on their plateau never are."""
        return self.judgement is not None and self.has_learned

    @property
    def others_learned(self) -> dict[tuple[float | PerLayer, float], bool]:
        """Of each other start than `largest_scale`, an init scale and weight decay, whether a run left its plateau for
        good.
        """
        learned: dict[tuple[float | PerLayer, float], bool] = {}
        for cell in filter(self.is_another_start, self.cells):
            start = cell.scale, cell.weight_decay
            learned[start] = learned.get(start, False) or cell.learned > 0
        return learned

    @property
    def no_other_learned(self) -> bool:
        """Whether there are other starts than `largest_scale`, and none learned, so that nothing is known of them."""
        return bool(self.others_learned) and not any(self.others_learned.values())

    @cached_property
    def best(self) -> Cell:
        """The best validated cell."""
        return min(self.judged, key=self._cost)

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

        Where there is neither, it is `largest_scale`; and where nothing was compared, or no run left its plateau, it is
        `best`.
        """
        if not self.is_compared:
            return self.best
        largest = self.largest_scale
        smaller = [cell for cell in self.good if self.is_another_start(cell)]
        better = [cell for cell in smaller if self.is_better(cell)]
        condensed = [
            cell
            for cell in smaller
            if cell.ends_condensed
            and self.size(cell.final) < self.size(largest.final)
            and self.standing(cell).largest.verdict == "alike"
        ]
        return min(better or condensed or [largest], key=lambda cell: self.size(cell.final))

    @cached_property
    def recommended_run(self) -> int:
        """Of its runs that left their plateau (or trained, if none did), the best validated, of equals by the loss."""
        metric = self.metric
        runs = self.study.results.filter(pl.col("run").is_in(self.recommended.told))
        cost = runs[tables.metric_on_validation(metric.name)] * (-1 if metric.larger_is_better else 1)
        return int(runs.with_columns(cost=cost).sort("cost", "best_validation_loss", "run")["run"][0])

    @cached_property
    def good(self) -> tuple[Cell, ...]:
        """The cells that cannot be told apart from the best on validation: that of the truly best is among them.

        It is so with 95 %, as each is held against the best of all (Gupta 1965, doi:10.1080/00401706.1965.10490251).
        """
        if not self.is_compared:
            return (self.best,)
        return tuple(cell for cell in self.judged if self.standing(cell).best.verdict != "worse")

    def standing(self, cell: Cell) -> Standing:
        """How a cell, one of `judged`, compares with the best and with the largest scale.

        Parameters
        ----------
        cell : Cell

        Returns
        -------
        Standing

        Raises
        ------
        StudyError
            If nothing was compared.
        """
        standing = None if self.judgement is None else self.judgement.standings[self.cells.index(cell)]
        if standing is None:
            raise StudyError(f"The cells of {self.study.path} have not been compared; sweep again into the folder.")
        return standing

    def is_better(self, cell: Cell) -> bool:
        """Whether a cell is better on validation than `largest_scale`, beyond the noise of rows and seeds.

        Parameters
        ----------
        cell : Cell

        Returns
        -------
        bool
        """
        return self.is_compared and self.standing(cell).largest.verdict == "better"

    @property
    def is_confirmed(self) -> bool:
        """Whether on the test rows too the recommended cell is better than `largest_scale`, beyond the noise."""
        return self.is_compared and self.standing(self.recommended).largest_on_test.verdict == "better"

    def size(self, neurons: tuple[float, ...]) -> float:
        """Effective neurons as a share of the width, averaged over the layers.

        Parameters
        ----------
        neurons : tuple of float
            Of each measured layer.

        Returns
        -------
        float
        """
        widths = self.layers.values()
        return sum(count / width for count, width in zip(neurons, widths, strict=True)) / max(len(widths), 1)

    @property
    def narrow_widths(self) -> tuple[int, ...]:
        """Of the baseline: the recommended cell's effective neurons at the end, rounded up, at most half of all."""
        return tuple(
            max(1, min(math.ceil(count), width // 2))
            for count, width in zip(self.recommended.final, self.layers.values(), strict=True)
        )

    @cached_property
    def stuck(self) -> int:
        """How many runs took their steps and never left their initial plateau."""
        return self.study.results.filter(STUCK).height

    @cached_property
    def failed(self) -> int:
        """How many runs ended without having trained: diverged, NaN, underflow, dead, or risen again."""
        return self.study.results.filter(FAILED).height


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
    if study.results.is_empty():
        return None
    measured_layers(study)
    findings = unjudged_findings(study)
    judgement = load_judgement(study)
    if judgement is None:
        with suppress(NucleateError):
            judgement = judge_study(findings, own_problem(study))
    return replace(findings, judgement=judgement)


def unjudged_findings(study: Study) -> Findings:
    """The findings of a study, of one finished run at least, as far as its tables say."""
    results = study.results
    cells = tuple(_cell(study, results, row) for row in summarize(study).iter_rows(named=True))
    return Findings(study, cells, _check_forecast(study, results))


def judge_study(
    findings: Findings,
    problem: Problem,
    narrow: Callable[[Findings], Contender | Literal["model", "plateau"]] | None = None,
) -> Judgement:
    """What the held-out rows say of a study, of which ``findings`` has no judgement and ``problem`` is its own.

    ``narrow`` goes from findings to the narrow network beside them, or to why there is none.
    """
    study, judged = findings.study, findings.judged
    seen = problem.test.count_in(problem.train, problem.validation)
    if not judged:
        baselines, _ = hold_against_baselines(study, problem, (), None)
        return Judgement((None,) * len(findings.cells), baselines=baselines, lacks_narrow="trained", seen=seen)
    standings: dict[Cell, Standing] = {}
    # A run on its plateau has learned nothing that could be compared.
    if findings.has_learned:
        best, largest = judged.index(findings.best), judged.index(findings.largest_scale)
        compared = compare_cells(study, problem, [cell.told for cell in judged], best, largest)
        standings = dict(zip(judged, compared, strict=True))
    judgement = Judgement(tuple(map(standings.get, findings.cells)), seen=seen)
    findings = replace(findings, judgement=judgement)
    beside = "untrained" if narrow is None else narrow(findings)
    contender, lacks = (None, beside) if isinstance(beside, str) else (beside, None)
    run = findings.recommended_run
    baselines, further = hold_against_baselines(study, problem, findings.recommended.told, run, contender)
    if not findings.has_learned:
        baselines = tuple(baseline.uncompared for baseline in baselines)
    return replace(judgement, run=run, further=further, baselines=baselines, lacks_narrow=lacks)


def recommended_run(study: Study) -> int:
    """The number of the run that the page recommends: of the recommended init scale and rate, the best validated seed.

    Where no run left its plateau, the page recommends none; this is then the best validated of those that trained.

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


def _cell(study: Study, results: pl.DataFrame, row: dict[str, Any]) -> Cell:
    spec, metric, widths = study.spec, study.metric, study.widths
    runs = results.filter(*(pl.col(axis) == row[axis] for axis in spec.axes))
    learned = runs.filter(LEARNED)
    fewest_columns = [tables.fewest_effective_neurons(layer) for layer in study.layers]
    fewest = tuple(_number(row[column]) for column in fewest_columns)
    final = tuple(_number(row[tables.effective_neurons(layer)]) for layer in study.layers)
    told = runs.filter(STUCK) if learned.is_empty() else learned
    return Cell(
        scale=spec.from_tables(row[spec.convention]),
        lr=row["lr"],
        weight_decay=row.get(tables.WEIGHT_DECAY, spec.weight_decays[0]),
        runs=tuple(runs["run"]),
        told=tuple(told["run"]),
        learned=row["learned"],
        stuck=row["stuck"],
        condensed_runs=int(_are_few(learned.select(fewest_columns).to_numpy(), widths).sum()),
        fewest=fewest,
        final=final,
        fewest_few=_few(fewest, widths),
        ends_condensed=row["learned"] > 0 and _few(final, widths),
        validation=_number(told[tables.metric_on_validation(metric.name)].median()),
        test=_number(row[tables.metric_on_test(metric.name)]),
        plateau_end=_number(row["plateau_end"]),
    )


def _few(neurons: tuple[float, ...], widths: tuple[int, ...]) -> bool:
    return bool(_are_few(np.array([neurons]), widths)[0])


def _are_few(neurons: Float[np.ndarray, "runs layers"], widths: tuple[int, ...]) -> Bool[np.ndarray, " runs"]:
    """Whether the layers have condensed: those of more than two neurons, or if there are none, all.

    A layer of one or two is not condensed by being small, and beside wider ones it does not speak. One that works as no
    neuron at all is dead, not condensed.
    """
    width = np.array(widths, float)
    few = neurons <= np.maximum(CONDENSED_SHARE * width, np.minimum(CONDENSED_COUNT, width / 2))
    told = width > CONDENSED_COUNT
    counts = few | ~told if told.any() else few
    return np.asarray(np.all(counts & (neurons > 0), axis=1))


def _check_forecast(study: Study, results: pl.DataFrame) -> ForecastCheck | None:
    forecasts = study.forecasts
    if forecasts.is_empty():
        return None
    expected = forecasts.select("run", "in_regime", "lower_10", "upper_10", expected="drop_10_percent")
    foretold = results.join(expected, on="run").filter(pl.col("expected").is_not_null())
    judged = foretold.filter(pl.col("in_regime") & pl.col("drop_10_percent").is_not_null())
    error = (judged["drop_10_percent"] / judged["expected"] - 1).abs()
    return ForecastCheck(
        runs=len(judged),
        inside=judged.filter(pl.col("drop_10_percent").is_between("lower_10", "upper_10")).height,
        median_error=_number(error.median()),
        in_regime=foretold.filter(pl.col("in_regime")).height,
        outside_regime=foretold.filter(~pl.col("in_regime")).height,
    )


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
