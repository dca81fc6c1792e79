"""The demonstration: the whole story on a real data set, in two minutes or so.

Its four stages, each a function here or a verb: forecast, sweep, reduce, report.
"""

from pathlib import Path

import polars as pl

from nucleate import figures
from nucleate._files import write_atomically
from nucleate.errors import StudyError
from nucleate.reduction import Reduction, reduce_study
from nucleate.reduction.of_study import kept_reduction
from nucleate.reporting import LANGUAGES
from nucleate.reporting.page import report_in_languages
from nucleate.studies import Study, StudySpec, make_spec, recommended_run, tables
from nucleate.studies.keeper import keep
from nucleate.sweeping import Recommendation, forecast_study, recommend_scale, tabulate_forecasts


def demo_spec() -> StudySpec:
    """Six init scales, three learning rates and three seeds on the diabetes data."""
    return make_spec(
        data="diabetes",
        hidden=[100, 100],
        gains=[1.0, 0.3, 0.1, 0.03, 0.01, 0.005],
        lrs=[0.2, 0.1, 0.05],
        seeds=3,
        steps=6000,
        evaluations=60,
    )


def forecast_plateaus(spec: StudySpec, folder: Path) -> tuple[pl.DataFrame, Recommendation | None]:
    """When each plateau is to end, before any training; begins the study, so that its sweep forecasts nothing again.

    A row an init scale, a column a learning rate: the median over the seeds of the step at which the loss will be down
    by 1 %, null where the theory's regime does not hold for all of them. And the smallest init scale that leaves its
    plateau within the steps of the spec, if any does.
    """
    problem = spec.load_problem()
    with keep(folder, spec, problem) as keeper:
        forecasts = forecast_study(spec, problem, horizon=spec.steps)
        table = tabulate_forecasts(spec, forecasts)
        for chunk in keeper.study.plan.chunks:
            numbers = [run.number for run in chunk.runs]
            keeper.keep_forecasts(chunk, table.filter(pl.col(tables.RUN).is_in(numbers)))
    ends = pl.when(pl.col(tables.IN_REGIME).all()).then(pl.col(tables.drop(0.01)).median())
    cells = table.group_by(spec.convention, tables.LR, maintain_order=True).agg(end=ends)
    plateaus = cells.pivot(tables.LR, index=spec.convention, values="end")
    return plateaus, recommend_scale(spec, forecasts, budget=spec.steps)


def reduce_recommended(study: Study) -> Reduction:
    """The reduction of the run that the page recommends: the one that the study keeps, or else made and kept now."""
    run = recommended_run(study)
    try:
        kept = kept_reduction(study)
    except StudyError:
        kept = None
    if kept is not None and (kept.run, kept.data_hash) == (run, study.data_hash):
        return kept
    return reduce_study(study, study.load_problem(), run=run)


def draw(study: Study, out: Path) -> list[Path]:
    """Three figures as PNG files in the folder ``out``."""
    pictures = {
        "loss.png": figures.loss_by_scale(study),
        "cosine.png": figures.cosine_heat_maps(study),
        "phase_map.png": figures.phase_map(study),
    }
    for name, picture in pictures.items():
        write_atomically(out / name, figures.png(picture))
    return [out / name for name in pictures]


def write_pages(study: Study, out: Path) -> dict[str, Path]:
    """The page of the study in every language, in the folder ``out``."""
    return report_in_languages(study, {lang: out / f"report-{lang}.html" for lang in LANGUAGES})
