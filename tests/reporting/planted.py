"""Studies with results by hand."""

import polars as pl

from nucleate import Study
from nucleate.problems import RMSE
from nucleate.studies import make_spec

STEADY = {"status": "finished", "stage": "descent", "plateau_end": 10.0, "best_validation_loss": 0.1}


def study_of(monkeypatch, cells, convention="gain", metric=RMSE, seeds=1, forecasts=None):
    """A study with these results, a dict (scale, lr): (effective neurons, validation, test) or a status."""
    rows = []
    for (scale, lr), outcomes in cells.items():
        for seed, outcome in enumerate(outcomes if isinstance(outcomes, list) else [outcomes]):
            neurons, validation, test = (20.0, 1.0, 1.0) if isinstance(outcome, str) else outcome
            row = STEADY | ({"status": outcome} if isinstance(outcome, str) else {})
            row |= {f"{kind}_neurons_1": neurons for kind in ("effective", "fewest_effective")} | {"directions_1": 3.0}
            row |= {f"validation_{metric.name}": validation, f"test_{metric.name}": test, "drop_10_percent": 100}
            rows.append({"run": len(rows), convention: scale, "lr": lr, "seed": seed} | row)
    spec = make_spec(
        data="sine-5d",
        hidden=[20],
        seeds=seeds,
        lrs=sorted({lr for _, lr in cells}),
        **{f"{convention}s": sorted({scale for scale, _ in cells})},
    )
    monkeypatch.setattr(Study, "results", pl.DataFrame(rows))
    monkeypatch.setattr(Study, "forecasts", pl.DataFrame(forecasts or []))
    return Study(None, spec, "", "", {}, {})
