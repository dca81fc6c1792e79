"""A model of one's own made of what the package's are made of, by public names."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nucleate
from nucleate.architectures import Model
from nucleate.observe import Layer

TANH = nucleate.get_activation("tanh")


@partial(jax.tree_util.register_dataclass, data_fields=["value", "head"], meta_fields=["shape", "activation"])
@dataclass(frozen=True)
class Average(Model):
    """An even average of values, read by a head."""

    value: Any
    head: Any
    shape: tuple[int, ...] = (3, 2)
    activation: nucleate.Activation = TANH

    @property
    def kinds(self):
        return {"value": self.value, "head": self.head}

    @property
    def fits_constants(self):
        return False

    @property
    def signals(self):
        return self.shape[0] * len(self.value)

    def values(self, x):
        return jnp.einsum("mk,skn->msn", self.value, x.reshape(*self.shape, -1))

    def on_columns(self, x):
        return self.head @ self.activation(self.values(x).mean(axis=1))

    def layers(self, x):
        return [Layer.linear("value", self.value, self.head.T, self.values(np.asarray(x).T))]


def average(seed=0, eps=0.01):
    rng = np.random.default_rng(seed)
    return Average(*(np.float32(eps * rng.standard_normal(shape)) for shape in ((4, 2), (1, 4))))


def test_it_trains_is_measured_and_is_forecast_as_it_trains():
    x = np.random.default_rng(1).standard_normal((60, 6))
    problem = nucleate.Problem.from_arrays(x, x[:, ::2].sum(axis=1), standardize=False)
    expected = nucleate.forecast(average(), problem, learning_rate=0.1, horizon=1000)
    run = nucleate.train(average(), problem, learning_rate=0.1, steps=400, evaluations=4)
    step = expected.drop_steps[0.1]
    assert step.lower <= run.drop_steps[0.1] <= step.upper
    assert {one.name for one in expected.matrices} == {"value"}
    assert run.trajectory["stable_rank_value"][-1] == pytest.approx(1, abs=0.01)


def test_rows_that_it_does_not_read_are_refused_and_a_row_becomes_an_output():
    assert average()(np.ones((5, 6))).shape == (5, 1)
    with pytest.raises(nucleate.ArchitectureError, match=r"shape \(5, 7\), and the model reads rows of 3 x 2"):
        average()(np.ones((5, 7)))


def test_what_a_model_must_say_is_abstract():
    with pytest.raises(TypeError, match="fits_constants, kinds, layers"):
        type("Silent", (Model,), {"on_columns": None, "signals": 0})()
