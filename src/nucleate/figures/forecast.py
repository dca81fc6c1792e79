"""What was forecast before training against what came."""

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from nucleate.errors import StudyError
from nucleate.figures.style import colors, for_print, panels
from nucleate.studies import Study, finished_runs


@for_print
def forecast_against_measured(study: Study) -> Figure:
    """The step at which the loss had fallen by 10 %: measured against forecast, a point a run, with its interval.

    Filled points are runs in the theory's regime.

    Parameters
    ----------
    study : Study

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    StudyError
        If the study has no forecasts, with the reason, or none came to pass yet.
    """
    spec, forecasts = study.spec, study.forecasts
    if forecasts.is_empty():
        raise StudyError(f"{study.path} holds no forecasts. {study.no_forecast or 'Their files are gone.'}")
    names = {"forecast": "drop_10_percent", "lower": "lower_10", "upper": "upper_10"}
    expected = forecasts.select("run", "in_regime", **{name: pl.col(column) for name, column in names.items()})
    results = finished_runs(study).select("run", spec.convention, measured="drop_10_percent")
    runs = results.join(expected, on="run").drop_nulls(["forecast", "measured"])
    if runs.is_empty():
        raise StudyError(
            f"{study.path} has no run whose loss fell by 10 % as forecast; train longer or with less noise."
        )
    figure, (panel,) = panels(1, width=3.5, height=2.7)
    scales = spec.ordered_scales
    inner = set(map(spec.from_tables, runs.filter("in_regime")[spec.convention]))
    for scale, color in zip(scales, colors(len(scales)), strict=True):
        for inside in (True, False):
            some = runs.filter((pl.col(spec.convention) == spec.in_tables(scale)) & (pl.col("in_regime") == inside))
            if some.is_empty():
                continue
            expected_steps = some["forecast"].to_numpy()
            panel.errorbar(
                expected_steps,
                some["measured"],
                xerr=np.abs(some.select("lower", "upper").to_numpy().T - expected_steps),
                fmt="o",
                color=color,
                markerfacecolor=color if inside else "none",
                ms=3.5,
                lw=0.8,
                label=f"{scale:g}" if inside or scale not in inner else None,
            )
    steps = runs.select("forecast", "measured").to_numpy()
    ends = [max(1, int(steps.min())), int(steps.max())]
    panel.plot(ends, ends, color="0.5", lw=0.8, zorder=0)
    panel.set(xscale="log", yscale="log", xlabel="step forecast", ylabel="step measured", title="Loss down by 10 %")
    if not runs["in_regime"].all():
        panel.errorbar(
            [], [], xerr=[], fmt="o", color="0.4", markerfacecolor="none", ms=3.5, label="outside\nthe regime"
        )
    figure.legend(title=spec.convention, loc="outside right upper", frameon=False)
    return figure
