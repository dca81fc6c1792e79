"""Own data end to end: forecast which start is affordable, sweep, reduce a condensed network, export it, report.

    python examples/own_data.py [table.csv target]

Without arguments it makes a table from scikit-learn's diabetes data. Everything goes to the folder own_data.
"""

import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
from sklearn.datasets import load_diabetes

import nucleate

GAINS, RATE, STEPS = [1.0, 0.1, 0.01], 0.1, 1500
out = Path("own_data")
out.mkdir(exist_ok=True)

if len(sys.argv) == 3:
    table, target = sys.argv[1:]
else:
    table, target = str(out / "clinic.csv"), "progression"
    data = load_diabetes(scaled=False)
    columns = pl.DataFrame(data.data, schema=data.feature_names)
    columns.with_columns(pl.Series(target, data.target)).write_csv(table)

spec = nucleate.StudySpec(
    data=table, target=[target], hidden=[20, 20], gains=GAINS, lrs=[RATE], steps=STEPS, evaluations=30
)
problem = spec.load_problem()
print(problem)

forecasts = nucleate.forecast_study(spec, problem, horizon=STEPS)
affordable = nucleate.recommend_scale(spec, forecasts, budget=STEPS)
print(f"smallest start that {STEPS} steps are enough for:", affordable)

study = nucleate.sweep(spec, out=out / "study")
print(nucleate.summarize(study).select("gain", "effective_neurons_1", "effective_neurons_2", "status"))

gain = affordable.scale if affordable else max(GAINS)
condensed = study.results.filter(pl.col("gain") == gain).sort("best_validation_loss")["run"][0]
reduction = nucleate.reduce(study.network(condensed, "best"), problem, tolerance=0.01)
print(reduction)
print(reduction.export(problem, out / "small.onnx"))

# Kept in the study, it is on the page too.
nucleate.save_reduction(replace(reduction, run=condensed), study.path / "reduction", study.identity)
print(nucleate.report(study, out=out / "report.html"))
