"""Everything of one's own goes in by one definition, through the public names alone."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from matplotlib.figure import Figure

import nucleate

pytestmark = pytest.mark.slow

GRID = {"gains": [1.0, 0.1], "hidden": [8, 6], "steps": 120, "evaluations": 8, "progress": False}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 4))
    y = x @ np.array([1.0, -1.0, 0.5, 0.0]) + 0.1 * rng.standard_normal(300)
    y[::25] += 15.0
    return x, y


def huber(outputs, y):
    far = jnp.abs(outputs - y)
    return jnp.sum(jnp.where(far < 0.5, 0.5 * far**2, 0.5 * far - 0.125), axis=1)


def mean_absolute_error(predicted, true):
    return float(np.abs(predicted - true).mean())


HUBER = nucleate.Loss("huber", huber, metric=nucleate.Metric("mae", mean_absolute_error))


def test_a_loss_is_forecast_trained_swept_reduced_and_reported(table, tmp_path):
    problem = nucleate.Problem.from_arrays(*table, loss=HUBER)
    network = nucleate.Network.create(4, [20, 20], 1, scale=nucleate.InitScale("epsilon", 0.01))
    expected = nucleate.forecast(network, problem, learning_rate=0.2)
    run = nucleate.train(network, problem, learning_rate=0.2, steps=2 * expected.drop_steps[0.1].upper)
    assert expected.in_regime
    step = expected.drop_steps[0.1]
    assert step.lower <= run.drop_steps[0.1] <= step.upper
    study = nucleate.sweep(problem, out=tmp_path / "study", lrs=[0.2], **GRID)
    assert "test_mae" in study.results.columns
    reduction = nucleate.reduce_study(study)
    assert reduction.metric_name == "mae"
    assert min(baseline.test for baseline in reduction.baselines) < 1.0
    page = nucleate.report(study, out=tmp_path / "report.html").read_text("utf-8")
    assert "huber" in page
    assert "mae" in page
    # Opened without the loss it is read, and says what it needs to be trained or reduced again.
    opened = nucleate.Study.load(tmp_path / "study")
    assert opened.results.equals(study.results)
    assert nucleate.reduce_study(opened, opened.load_problem(HUBER), baselines=False).run == reduction.run
    with pytest.raises(nucleate.SpecError, match=r"'huber' .* pass it as a Loss object"):
        nucleate.sweep(opened, gains=[0.5], out=tmp_path / "more", progress=False)


def test_an_optax_transformation_is_an_optimizer(table, tmp_path):
    sign = nucleate.Optimizer("sign", optax.sign_sgd)
    problem = nucleate.Problem.from_arrays(*table)
    study = nucleate.sweep(problem, out=tmp_path / "study", optimizer=sign, lrs=[0.001], **GRID)
    # A sign optimizer's clock is not the gradient flow's: its forecast is stepped under it, and holds.
    both = study.results.join(study.forecasts, on="run").filter("in_regime").drop_nulls("drop_10_percent")
    assert not both.is_empty()
    assert both["drop_10_percent"].is_between(both["lower_10"], both["upper_10"]).all()
    assert nucleate.Study.load(tmp_path / "study").spec.optimizer.name == "sign"


def sine_nodes(graph, z):
    return graph.add("Sin", z)


def test_an_activation_is_swept_exported_and_defined_again(table, tmp_path):
    def define(frequency):
        return nucleate.Activation("own sine", lambda z: jnp.sin(frequency * z) / frequency, 1, 1.0, 1.0, parity="odd")

    nucleate.register_activation(define(1.0))
    again = nucleate.register_activation(define(2.0))
    assert nucleate.get_activation("own sine") is again
    sine = nucleate.Activation("sine", jnp.sin, 1, 1.0, 1.0, parity="odd", lipschitz=1.0, onnx=sine_nodes)
    problem = nucleate.Problem.from_arrays(*table)
    study = nucleate.sweep(problem, out=tmp_path / "study", activation=sine, lrs=[0.1], **GRID)
    network = study.network(0)
    exported = nucleate.export(network, problem, tmp_path / "network.onnx")
    assert exported.largest_difference < 1e-4


class Convolution(eqx.Module):
    """Four shared filters over windows of two neighbouring inputs, squashed, pooled and read out."""

    kernels: jax.Array
    readout: jax.Array

    def _entering(self, x):
        windows = jnp.stack([x[:, :-1], x[:, 1:]], axis=2)
        return jnp.einsum("nwk,fk->fnw", windows, self.kernels)

    def __call__(self, x):
        return jnp.tanh(self._entering(x)).mean(axis=2).T @ self.readout.T

    def layers(self, x):
        entering = np.asarray(self._entering(x)).reshape(len(self.kernels), -1)
        return [
            nucleate.Layer(
                "filters",
                self.kernels,
                self.kernels,
                self.readout.T,
                entering,
                np.tanh(entering),
                opposites_are_one=True,
            )
        ]


def convolution(inputs, outputs, scale, seed):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.standard_normal(shape).astype("float32")  # noqa: E731
    std = scale.std(2, 4, output_layer=False)
    return Convolution(std * draw(4, 2), std * draw(outputs, 4))


class Here:
    """An executor of one's own: it computes when it is asked for the result."""

    def __init__(self):
        self.calls = 0

    def submit(self, function, /, *arguments):
        self.calls += 1
        future = Future()
        future.set_result(function(*arguments))
        return future


def test_a_model_that_is_no_network_is_swept_stored_resumed_and_measured(table, tmp_path):
    problem = nucleate.Problem.from_arrays(*table)
    grid = {"gains": [1.0, 0.1], "steps": 60, "evaluations": 6, "progress": False, "model": convolution}
    study = nucleate.sweep(problem, out=tmp_path / "study", **grid)
    assert study.widths == (4,)
    assert study.results["effective_neurons_filters"].is_between(1, 4).all()
    assert study.forecasts.is_empty()
    assert "give its class a method near_zero()" in study.no_forecast
    before = study.results
    (tmp_path / "study" / "results" / "chunk-00000.parquet").unlink()
    again = nucleate.sweep(problem, out=tmp_path / "study", **grid)
    assert again.results.equals(before)
    opened = nucleate.Study.load(tmp_path / "study")
    like = convolution(4, 1, nucleate.InitScale("gain", 1.0), seed=9)
    for at in ("initial", "best", "final"):
        np.testing.assert_array_equal(opened.network(1, at, like=like).kernels, study.network(1, at).kernels)


class ConvolutionNearZero(Convolution):
    """The same, which says what it is near zero: filters without the squashing."""

    squash: Callable = eqx.field(static=True, default=jnp.tanh)

    def __call__(self, x):
        return self.squash(self._entering(x)).mean(axis=2).T @ self.readout.T

    def near_zero(self):
        return replace(self, squash=straight)


def straight(z):
    return z


def wrong(z):
    return 1.1 * z


def derived(inputs, outputs, scale, seed, squash=jnp.tanh):
    plain = convolution(inputs, outputs, scale, seed)
    return ConvolutionNearZero(plain.kernels, plain.readout, squash)


def test_of_a_model_that_says_what_it_is_near_zero_a_study_keeps_forecasts(table, tmp_path):
    x = table[0]
    problem = nucleate.Problem.from_arrays(x, np.tanh(x.sum(axis=1)))
    grid = {"gains": [0.03], "lrs": [0.05], "steps": 200, "evaluations": 6, "progress": False, "model": derived}
    study = nucleate.sweep(problem, out=tmp_path / "study", **grid)
    (expected,), (found,) = study.forecasts.to_dicts(), study.results.to_dicts()
    assert expected["lower_10"] <= found["drop_10_percent"] <= expected["upper_10"]
    assert expected["in_regime"]
    # As it is read off the model without being told.
    model = study.network(0, "initial", like=derived(4, 1, nucleate.InitScale("gain", 1.0), seed=0))
    lead = nucleate.theory.near_zero(model, problem.train.x)
    np.testing.assert_allclose(lead.leading(problem.train.x), model.near_zero()(problem.train.x), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (lambda self: replace(self, squash=wrong), "is not what it is near zero: .* outputs are 10% apart"),
        (lambda self: replace(self, squash=lambda z: z + 1), "is not what it is near zero"),
        (lambda self: replace(self, squash=lambda z: jnp.concatenate([z, z], axis=1)), "has outputs of shape"),
        (lambda self: replace(self, squash=lambda z: z / 0), "has outputs that are NaN or infinite"),
        (lambda self: replace(self, squash=lambda z: z.nothing), r"gives fails on the data \(AttributeError"),
        (lambda self: replace(self, kernels=self.kernels[:2]), "gives a model with other parameters"),
        (lambda self: replace(self, kernels=2 * self.kernels), "gives a model with other parameters"),
        (lambda self: self.nothing, r"near_zero\(\) of the Told fails \(AttributeError"),
    ],
    ids=[
        "another",
        "a constant",
        "more rows",
        "infinite",
        "an error",
        "fewer parameters",
        "other parameters",
        "no model",
    ],
)
def test_a_wrong_near_zero_is_refused(table, method, said):
    told = type("Told", (ConvolutionNearZero,), {"near_zero": method})
    plain = convolution(4, 1, nucleate.InitScale("gain", 0.1), 0)
    with pytest.raises(nucleate.SpecError, match=said):
        nucleate.forecast(told(plain.kernels, plain.readout), nucleate.Problem.from_arrays(*table))


@pytest.mark.parametrize(
    "member", ["signals", "fits_constants", "kinds", "on_columns", "describe", "check_rows", "near_zero"]
)
def test_a_member_that_has_another_meaning_here_is_refused_by_its_name(table, member):
    meaning = 3.5 if member in ("on_columns", "describe", "check_rows", "near_zero") else lambda self: 3.5
    own = type("Own", (Convolution,), {member: meaning})
    plain = convolution(4, 1, nucleate.InitScale("gain", 0.1), 0)
    with pytest.raises(nucleate.ArchitectureError, match=f"The model Own has a member '{member}' .* another name"):
        nucleate.train(own(plain.kernels, plain.readout), nucleate.Problem.from_arrays(*table), steps=2)


def test_layers_that_are_no_method_are_not_measured(table):
    own = type("Own", (Convolution,), {"layers": ("first", "second")})
    plain = convolution(4, 1, nucleate.InitScale("gain", 0.1), 0)
    run = nucleate.train(own(plain.kernels, plain.readout), nucleate.Problem.from_arrays(*table), steps=2)
    assert "effective_neurons_filters" not in run.trajectory.columns


def test_an_executor_computes_the_chunks_to_the_same_bits(table, tmp_path):
    problem, executor = nucleate.Problem.from_arrays(*table), Here()
    grid = GRID | {"seeds": 9}
    here = nucleate.sweep(problem, out=tmp_path / "here", **grid)
    there = nucleate.sweep(problem, out=tmp_path / "there", executor=executor, **grid)
    assert executor.calls >= 2
    assert there.results.equals(here.results)


def test_a_measure_stands_in_the_trajectories_and_the_results(table, tmp_path):
    loudest = nucleate.Measure("loudest", lambda layer, start: float(layer.contributions.max()))
    study = nucleate.sweep(
        nucleate.Problem.from_arrays(*table), out=tmp_path / "study", measures=[loudest], lrs=[0.1], **GRID
    )
    assert study.trajectories["loudest_2"].min() > 0
    assert study.results["loudest_1"].null_count() == 0
    run = nucleate.train(study.network(0, "initial"), study.load_problem(), steps=5, measures=[loudest])
    assert run.trajectory.columns[-2:] == ["loudest_1", "loudest_2"]


class Size(NamedTuple):
    seeds: int


def test_an_experiment_is_measured_and_kept(tmp_path):
    def measure(size, progress):
        progress(1.0)
        return nucleate.Measurement((float(size.seeds),), Figure())

    experiment = nucleate.Experiment(
        name="counting",
        claim="There are no seeds.",
        source="here",
        setting="{seeds} seeds",
        criteria=(nucleate.Criterion("seeds", "at most", 0.0),),
        quick=Size(2),
        full=Size(20),
        measure=measure,
    )
    verdict = nucleate.reproduce(experiment, out=tmp_path, quick=True, progress=False)
    assert not verdict.holds
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".svg", ".pdf", ".png"}
