"""An attention of one's own: how long is the plateau of gated linear attention, and which way do its matrices turn?

f(x) = head [sigmoid(G x_q) * sum_j (Q x_q . K x_j) V x_j] / s, with x_q the last of s positions: a gate, no softmax.
Near zero each gate is half open. Prints degree, forecast and outcome, and draws them in own_attention.png.
"""

from collections.abc import Callable
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from nucleate import InitScale, Layer, forecast_many, load_problem, theory, train_many
from nucleate.forecasting import measure_outcomes

SCALES, RATE = (0.3, 0.2, 0.1), 0.2
problem = load_problem("in-context-regression:inputs=2,examples=8,rows=400")
LENGTH, NUMBERS = problem.row_shape.sizes


class GatedLinearAttention(eqx.Module):
    query: jax.Array
    key: jax.Array
    value: jax.Array
    gate: jax.Array
    head: jax.Array
    opening: Callable = eqx.field(static=True, default=jax.nn.sigmoid)

    def __call__(self, x):
        return self.flow(x)["gated"] @ self.head.T

    def flow(self, x):
        points = x.reshape(-1, LENGTH, NUMBERS)
        query, key, value = points[:, -1] @ self.query.T, points @ self.key.T, points @ self.value.T
        taken = jnp.einsum("nh,njh,njm->nm", query, key, value) / LENGTH
        return {"query": query, "key": key, "value": value, "gated": self.opening(points[:, -1] @ self.gate.T) * taken}

    def layers(self, x):
        flow, read_by = self.flow(x), {"query": self.key, "key": self.query, "value": self.head.T}
        return [Layer.linear(name, getattr(self, name), to, flow[name].T) for name, to in read_by.items()]

    def near_zero(self):
        return replace(self, opening=half_open)


def half_open(z):
    return jnp.full_like(z, 0.5)


def make(inputs, outputs, scale, seed, heads=4, values=6):
    draw, std = np.random.default_rng(seed).standard_normal, scale.std(NUMBERS, values, output_layer=False)
    shapes = [(heads, NUMBERS), (heads, NUMBERS), (values, NUMBERS), (values, NUMBERS), (outputs, values)]
    return GatedLinearAttention(*(np.float32(std * draw(shape)) for shape in shapes))


models = [make(problem.inputs, 1, InitScale("epsilon", scale), seed=1) for scale in SCALES]
read_off = theory.near_zero(models[-1], problem.train.x)
found, derived = read_off.leading(problem.train.x), models[-1].near_zero()(problem.train.x)
print(f"degree {read_off.degree}, derived as it is read off: {np.allclose(found, derived, rtol=1e-3)}")
forecasts = forecast_many(models, problem, learning_rates=[RATE] * 3)
outcomes = measure_outcomes(models, problem, forecasts)
for scale, expected, came in zip(SCALES, forecasts, outcomes, strict=True):
    print(f"scale {scale}: {expected.drop_steps[0.1]}, measured {came.drop_steps[0.1]}, regime {expected.in_regime}")
for one in forecasts[-1].matrices:
    print(f"{one.name}: rank one to {one.share:.0%}, |cos| {outcomes[-1].matrices[one.name]:.3f}")
figure = Figure(figsize=(8, 3.2), layout="constrained")
left, right = figure.subplots(1, 2)
for place, run in enumerate(train_many(models, problem, learning_rates=[RATE] * 3, steps=1000)):
    left.plot(run.trajectory["step"], run.trajectory["train_loss"], label=f"scale {SCALES[place]}")
    left.axvline(forecasts[place].drop_steps[0.1].estimate, color=f"C{place}", ls=":")
for name in ("query", "key", "value"):
    right.plot(run.trajectory["step"], run.trajectory[f"stable_rank_{name}"], label=name)
for panel, what in ((left, "training loss"), (right, f"stable rank at scale {SCALES[-1]}")):
    panel.set(xlabel="step", ylabel=what)
    panel.legend(frameon=False)
figure.savefig("own_attention.png", dpi=150)
