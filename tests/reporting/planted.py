"""Studies with results by hand, and a model that is no network."""

import equinox as eqx
import jax
import numpy as np
import polars as pl

from nucleate import Study
from nucleate.observe import Layer
from nucleate.problems import RMSE
from nucleate.studies import make_spec

STEADY = {"status": "finished", "stage": "descent", "plateau_end": 10.0, "best_validation_loss": 0.1}


STUCK = "initial plateau"


def study_of(monkeypatch, cells, convention="gain", metric=RMSE, seeds=1, forecasts=None, width=20):
    """A study with these results, a dict (scale, lr): (effective neurons, validation, test), a status or `STUCK`."""
    rows = []
    for (scale, lr), outcomes in cells.items():
        for seed, outcome in enumerate(outcomes if isinstance(outcomes, list) else [outcomes]):
            neurons, validation, test = (20.0, 1.0, 1.0) if isinstance(outcome, str) else outcome
            row = STEADY | ({"status": outcome} if isinstance(outcome, str) and outcome != STUCK else {})
            row |= {"stage": STUCK} if outcome == STUCK else {}
            row |= {f"{kind}_neurons_1": neurons for kind in ("effective", "fewest_effective")} | {"directions_1": 3.0}
            row |= {f"validation_{metric.name}": validation, f"test_{metric.name}": test, "drop_10_percent": 100}
            rows.append({"run": len(rows), convention: scale, "lr": lr, "seed": seed} | row)
    spec = make_spec(
        data="sine-5d",
        hidden=[width],
        seeds=seeds,
        lrs=sorted({lr for _, lr in cells}),
        **{f"{convention}s": sorted({scale for scale, _ in cells})},
    )
    monkeypatch.setattr(Study, "results", pl.DataFrame(rows))
    monkeypatch.setattr(Study, "forecasts", pl.DataFrame(forecasts or []))
    return Study(None, spec, "", "", {}, {}, widths=(width,), metric=metric)


class Gated(eqx.Module):
    """A layer of units that are each a product of a gate and a value."""

    gate: np.ndarray
    value: np.ndarray
    out: np.ndarray

    def __call__(self, x):
        return (jax.nn.sigmoid(x @ self.gate.T) * (x @ self.value.T)) @ self.out.T

    def layers(self, x):
        gate, value, out = (np.asarray(part, float) for part in (self.gate, self.value, self.out))
        entering = value @ x.T
        leaving = entering / (1 + np.exp(-gate @ x.T))
        incoming = np.column_stack([gate, value])
        return [Layer("gated", incoming, value, out.T, entering, leaving, opposites_are_one=False)]


def gated(inputs, outputs, scale, seed):
    """Six gated units."""
    draw = np.random.default_rng(seed).standard_normal
    std = scale.std(inputs, 6, output_layer=False)
    shapes = ((6, inputs), (6, inputs), (outputs, 6))
    return Gated(*((std * draw(shape)).astype(np.float32) for shape in shapes))


class Straight(eqx.Module):
    """A linear model, of which nothing is measured but its losses."""

    weight: np.ndarray

    def __call__(self, x):
        return x @ self.weight.T


def straight(inputs, outputs, scale, seed):
    """A linear model drawn small."""
    return Straight(scale.value * np.random.default_rng(seed).standard_normal((outputs, inputs)).astype(np.float32))
