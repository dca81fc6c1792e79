"""Studies with results by hand, and a model that is no network."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from nucleate import Study
from nucleate.observe import Layer
from nucleate.problems import ACCURACY, RMSE, Problem, Split
from nucleate.studies import make_spec
from nucleate.studies.formats import split_hash

STEADY = {"status": "finished", "stage": "descent", "plateau_end": 10.0, "best_validation_loss": 0.1}


STUCK = "initial plateau"


def study_of(
    monkeypatch, cells, convention="gain", metric=RMSE, seeds=1, forecasts=None, width=20, rows=400, noise=False
):
    """A study with these results, a dict (scale, lr): (effective neurons, validation, test), a status or `STUCK`.

    Its networks have these metrics on ``rows`` validation rows and as many test rows: errors of one size on all of
    them, or with ``noise`` normal errors of their own; and right labels on the first of them.
    """
    results, networks = [], []
    for (scale, lr), outcomes in cells.items():
        for seed, outcome in enumerate(outcomes if isinstance(outcomes, list) else [outcomes]):
            neurons, validation, test = (20.0, 1.0, 1.0) if isinstance(outcome, str) else outcome
            row = STEADY | ({"status": outcome} if isinstance(outcome, str) and outcome != STUCK else {})
            row |= {"stage": STUCK} if outcome == STUCK else {}
            row |= {f"{kind}_neurons_1": neurons for kind in ("effective", "fewest_effective")} | {"directions_1": 3.0}
            row |= {f"validation_{metric.name}": validation, f"test_{metric.name}": test, "drop_10_percent": 100}
            results.append({"run": len(results), convention: scale, "lr": lr, "seed": seed} | row)
            random = np.random.default_rng(len(results)) if noise else None
            parts = [_outputs(metric, rows, value, random) for value in (validation, test)]
            networks.append(Planted(np.concatenate(parts).astype(np.float32)))
    spec = make_spec(
        data="sine-5d",
        hidden=[width],
        seeds=seeds,
        lrs=sorted({lr for _, lr in cells}),
        **{f"{convention}s": sorted({scale for scale, _ in cells})},
    )
    problem = _problem(metric, rows)
    monkeypatch.setattr(Study, "results", pl.DataFrame(results))
    monkeypatch.setattr(Study, "forecasts", pl.DataFrame(forecasts or []))
    monkeypatch.setattr(Study, "network", lambda self, run, at="best": networks[run])
    monkeypatch.setattr(Study, "load_problem", lambda self: problem)
    return Study(None, spec, problem.data_hash, split_hash(problem), {}, {}, widths=(width,), metric=metric)


class Planted(eqx.Module):
    """A model whose outputs are known: its input is the number of a row."""

    outputs: np.ndarray

    def __call__(self, x):
        return jnp.asarray(self.outputs)[x[:, 0].astype(int)]


def _outputs(metric, rows, value, random):
    if metric is ACCURACY:
        return 9.0 * np.eye(2)[(np.arange(rows) >= round(value * rows)).astype(int)]
    errors = np.ones(rows) if random is None else random.standard_normal(rows)
    return value * (errors / np.sqrt(np.mean(errors**2)))[:, None]


def _problem(metric, rows):
    """The truth is zero, or the first class; but not in the rows for training, of which baselines know."""
    number, random = np.arange(2.0 * rows), np.random.default_rng(0)
    if metric is ACCURACY:
        problem = Problem.from_arrays(
            number[:, None], np.where(random.random(2 * rows) < 0.5, "a", "b"), standardize=False
        )
        truth = np.tile([1.0, 0.0], (rows, 1))
    else:
        problem = Problem.from_arrays(number[:, None], random.standard_normal(2 * rows), standardize=False)
        truth = np.zeros((rows, 1))
    parts = [Split(part[:, None], truth) for part in np.split(number, 2)]
    return replace(problem, validation=parts[0], test=parts[1])


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
