"""Losses, optimizers, activations, models and measures of one's own, defined here: swept, stored, resumed and read."""

import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nucleate import Activation, ArchitectureError, SpecError, StudyError, sweep
from nucleate.observe import MEASURES, Layer, Measure
from nucleate.optimizers import Optimizer
from nucleate.problems import Loss, Metric, Problem
from nucleate.reduction import reduce_study
from nucleate.studies import Study, summarize
from tests.cli.asking import ask, refusal
from tests.sealed import contents

pytestmark = pytest.mark.slow

GRID = {"gains": [1.0, 0.1], "lrs": [0.05], "steps": 30, "evaluations": 6, "progress": False}
LONG = GRID | {"seeds": 11, "steps": 10_000}


def pseudo_huber(outputs, y):
    """Quadratic near zero, linear far away."""
    return jnp.sum(jnp.sqrt(1 + (outputs - y) ** 2) - 1, axis=1)


def mean_absolute_error(predicted, true):
    return float(np.abs(predicted - true).mean())


MAE = Metric("mae", mean_absolute_error)
HUBER = Loss("pseudo-huber", pseudo_huber, metric=MAE)
DECAYED = Optimizer("decayed", optax.adamw, weight_decay=0.01)
SINE = Activation("sine of one's own", jnp.sin, 1, 1.0, 1.0, parity="odd")
LARGEST = Measure("largest_amplitude", lambda layer, start: float(layer.amplitudes.max()))


@partial(jax.tree_util.register_dataclass, data_fields=["gate", "values", "readout"], meta_fields=[])
@dataclass(frozen=True)
class Gated:
    """``readout (sigmoid(gate x) * (values x))``."""

    gate: np.ndarray
    values: np.ndarray
    readout: np.ndarray

    def __call__(self, x):
        return (jax.nn.sigmoid(x @ self.gate.T) * (x @ self.values.T)) @ self.readout.T

    def layers(self, x):
        entering = np.asarray(x, float) @ np.asarray(self.values, float).T
        gates = 1 / (1 + np.exp(-np.asarray(x, float) @ np.asarray(self.gate, float).T))
        incoming = np.hstack([self.gate, self.values]).astype(float)
        leaving = (gates * entering).T
        values, readout = np.asarray(self.values, float), np.asarray(self.readout, float)
        return [Layer("gated", incoming, values, readout.T, entering.T, leaving, opposites_are_one=False)]


def gated(inputs, outputs, scale, seed):
    """A gated layer of 5 units."""
    random = np.random.default_rng(seed)
    shapes = ((5, inputs), (5, inputs), (outputs, 5))
    return Gated(*((scale.value * random.standard_normal(shape)).astype("float32") for shape in shapes))


def unmeasured(inputs, outputs, scale, seed):
    """A linear model, as a plain function of its parameters would be."""
    return Linear(np.full((outputs, inputs), scale.value, "float32"))


@partial(jax.tree_util.register_dataclass, data_fields=["weight"], meta_fields=[])
@dataclass(frozen=True)
class Linear:
    weight: np.ndarray

    def __call__(self, x):
        return x @ self.weight.T


@pytest.fixture(scope="module")
def of_networks(tmp_path_factory):
    """A study in which everything but the networks' shape is one's own."""
    own = {"loss": HUBER, "optimizer": DECAYED, "activation": SINE, "measures": [*MEASURES, LARGEST], "hidden": [6, 5]}
    return sweep("sine-5d", out=tmp_path_factory.mktemp("own") / "study", **own, **GRID)


def test_the_tables_have_the_loss_its_metric_and_the_measure(of_networks):
    results, problem = of_networks.results, of_networks.load_problem()
    assert problem.loss is HUBER
    best, row = of_networks.network(0), results.row(0, named=True)
    assert best.activation is SINE
    assert row["test_mae"] == pytest.approx(problem.metric(best(problem.test.x), problem.test.y))
    assert row["best_validation_loss"] == pytest.approx(HUBER(best(problem.validation.x), problem.validation.y), 1e-5)
    last = of_networks.trajectories.filter(run=1)["largest_amplitude_2"].to_list()[-1]
    assert results["largest_amplitude_2"][1] == last > 0


def test_why_nothing_is_forecast_is_kept(of_networks):
    assert "its steps neither shrink with the gradient" in of_networks.no_forecast
    assert of_networks.forecasts.is_empty()
    assert Study.load(of_networks.path).no_forecast == of_networks.no_forecast


def test_read_by_names_alone_it_says_all_but_what_needs_the_objects(of_networks):
    loaded = Study.load(of_networks.path)
    assert loaded.results.equals(of_networks.results)
    assert summarize(loaded).columns == summarize(of_networks).columns
    assert (loaded.metric.name, loaded.metric.value, loaded.spec.optimizer.name) == ("mae", None, "decayed")
    assert (loaded.network(0).weights[0] == of_networks.network(0).weights[0]).all()
    with pytest.raises(SpecError, match='The activation "sine of one\'s own" is known by its name alone; pass it'):
        loaded.network(0)(np.zeros((1, 5)))
    assert loaded.network(0, like=of_networks.network(0))(np.zeros((1, 5))).shape == (1, 1)
    with pytest.raises(SpecError, match=r"The loss 'pseudo-huber' is known by its name alone; pass it: load_problem"):
        loaded.load_problem()
    assert loaded.load_problem(HUBER).loss is HUBER


def test_it_is_gone_on_with_by_passing_the_objects_again(of_networks):
    before = of_networks.results
    (of_networks.path / "results" / "chunk-00000.parquet").unlink()
    loaded = Study.load(of_networks.path)
    with pytest.raises(SpecError, match=r"The optimizer 'decayed' is known by its name alone; pass it as an Opt"):
        sweep(loaded, loss=HUBER, activation=SINE, measures=[LARGEST], progress=False)
    again = sweep(loaded, loss=HUBER, activation=SINE, measures=[LARGEST], optimizer=DECAYED, progress=False)
    assert again.results.equals(before)
    with pytest.raises(StudyError, match=r"another spec \(measures \['largest_amplitude'\] there, \[\] here\)"):
        sweep(again, measures=[], progress=False)


def test_the_command_line_reads_it_and_says_where_it_would_need_the_objects(of_networks, tmp_path):
    for command in (["report", "--out", tmp_path / "page.html"], ["plot", "--out", tmp_path / "phase.png"]):
        answer = ask(command[0], of_networks.path, *command[1:])
        assert answer.exit_code == 0, answer.stderr
    for command in ("reduce", "doctor"):
        said = refusal(command, of_networks.path)
        assert (
            "The loss 'pseudo-huber' is known by its name alone; pass it: load_problem(loss=...), from Python, " in said
        )
    network = of_networks.path / "weights" / "run-00000-best.safetensors"
    assert "for the command line knows the package's own alone" in refusal("predict", network, network)
    # In Python the objects are given once more.
    loaded = Study.load(of_networks.path)
    again = sweep(loaded, loss=HUBER, activation=SINE, measures=[LARGEST], optimizer=DECAYED, progress=False)
    assert reduce_study(again, tolerance=0.9, baselines=False).run in (0, 1)


@pytest.fixture(scope="module")
def of_models(tmp_path_factory):
    return sweep("sine-5d", model=gated, out=tmp_path_factory.mktemp("gated") / "study", **GRID)


def test_a_model_that_is_no_network_is_trained_measured_stored_and_loaded(of_models):
    assert (of_models.layers, of_models.widths, of_models.parameters) == (("gated",), (5,), 55)
    assert of_models.results["status"].to_list() == ["finished", "finished"]
    assert (of_models.results["fewest_effective_neurons_gated"] >= 1).all()
    assert of_models.snapshots(0)[0].directions[0].shape == (5, 10)
    best, problem = of_models.network(0), of_models.load_problem()
    assert isinstance(best, Gated)
    on_test = problem.metric(np.asarray(best(problem.test.x.astype("float32"))), problem.test.y)
    assert of_models.results["test_rmse"][0] == pytest.approx(on_test, 1e-5)
    assert "closed form" in of_models.no_forecast


def test_loaded_again_it_asks_for_a_model_of_the_kind(of_models):
    loaded = Study.load(of_models.path)
    with pytest.raises(StudyError, match=r"made by 'gated', of which only the name is kept; pass one"):
        loaded.network(0)
    like = of_models.network(1, "initial")
    np.testing.assert_array_equal(loaded.network(0, like=like).gate, of_models.network(0).gate)
    with pytest.raises(ArchitectureError, match="holds parameters of another model"):
        loaded.network(0, like=Linear(np.zeros((1, 5), "float32")))
    with pytest.raises(SpecError, match="The model 'gated' is known by its name alone"):
        sweep(loaded, progress=False)
    assert sweep(loaded, model=gated, progress=False).results.equals(of_models.results)


def test_a_model_without_layers_has_its_losses(tmp_path):
    study = sweep("sine-5d", model=unmeasured, out=tmp_path / "study", **GRID)
    assert (study.widths, study.layers, study.snapshots(0)) == ((), (), [])
    assert study.trajectories.columns == ["run", "step", "train_loss", "validation_loss"]
    assert "effective_neurons_1" not in study.results.columns


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3))
    return Problem.from_arrays(x, x[:, 0], loss=HUBER, split_seed=3)


def test_a_problem_made_in_python_is_kept_with_its_study(problem, tmp_path):
    study = sweep(problem, out=tmp_path / "study", hidden=[4], **GRID)
    loaded = Study.load(study.path)
    for kept in (study.load_problem(), loaded.load_problem(HUBER), loaded.load_problem()):
        assert (kept.name, kept.loss.name, kept.metric_name) == ("arrays", "pseudo-huber", "mae")
        assert (kept.data_hash, kept.notes) == (problem.data_hash, problem.notes)
        assert kept.preprocessing == problem.preprocessing
        assert kept.test_rows.equals(problem.test_rows)
        assert kept.columns.equals(problem.columns)
        for part in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(kept, part).x, getattr(problem, part).x)
            np.testing.assert_array_equal(getattr(kept, part).y, getattr(problem, part).y)
    with pytest.raises(
        SpecError, match=r"The loss 'pseudo-huber' is known by its name alone; pass it as a Loss object"
    ):
        loaded.load_problem().loss(np.zeros((1, 1)), np.zeros((1, 1)))
    with pytest.raises(StudyError, match="was kept under the loss 'pseudo-huber', not 'mine'"):
        loaded.load_problem(Loss("mine", pseudo_huber))
    results = study.results
    (study.path / "results" / "chunk-00000.parquet").unlink()
    assert sweep(loaded, loss=HUBER, progress=False).results.equals(results)


def test_a_damaged_problem_is_one_sentence_and_what_it_has_decided_cannot_be_asked_for(problem, tmp_path):
    study = sweep(problem, out=tmp_path / "study", hidden=[4], **GRID)
    (study.path / "problem.safetensors").write_bytes(b"torn")
    with pytest.raises(StudyError, match=r"problem.safetensors is damaged .*; pass the problem again, as at first"):
        study.load_problem()
    with pytest.raises(SpecError, match="'arrays' has its split and its loss already; leave out split_seed"):
        sweep(problem, out=tmp_path / "study", split_seed=1, **GRID)


def test_a_study_of_a_problem_made_in_python_is_reduced_from_its_folder_alone(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((160, 3))
    grid = GRID | {"gains": [0.5], "steps": 200}
    study = sweep(Problem.from_arrays(x, np.tanh(x[:, 0])), out=tmp_path / "study", hidden=[8], **grid)
    reduction = reduce_study(Study.load(study.path), tolerance=0.5, baselines=False)
    assert reduction.problem == "arrays"
    assert reduction.network.hidden[0] < 8


OF_A_PROCESS = """
import sys

from nucleate import sweep
from tests.sweeping.test_own_definitions import LONG, gated

if __name__ == "__main__":
    sweep("sine-5d", model=gated, out=sys.argv[1], **LONG)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM is POSIX's")
def test_a_model_of_one_s_own_that_was_interrupted_ends_with_the_same_bits(tmp_path):
    folder = tmp_path / "study"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", OF_A_PROCESS, str(folder)]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE) as process:
        # In the midst of the second chunk.
        while not (folder / "results" / "chunk-00000.parquet").exists():
            assert process.poll() is None, process.communicate()[1].decode()
            time.sleep(0.005)
        process.terminate()
        said = process.communicate()[1].decode()
    assert process.returncode != 0
    assert Study.load(folder).missing > 0, said
    whole = sweep("sine-5d", model=gated, out=tmp_path / "whole", **LONG)
    resumed = sweep("sine-5d", model=gated, out=folder, **LONG)
    assert not resumed.missing
    assert contents(resumed.path) == contents(whole.path)


@pytest.mark.parametrize("own", [Optimizer("adam", optax.sgd), Optimizer("gd", optax.adam)])
def test_a_study_from_before_names_were_checked_is_read_and_not_gone_on_with(own, tmp_path, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr("nucleate.training.settings.get_optimizer", lambda given, known=True: given)
        folder = sweep("sine-5d", optimizer=own, hidden=[6], out=tmp_path / "study", **GRID).path
    loaded = Study.load(folder)
    assert loaded.definitions.keys() == {f"optimizer {own.name!r}"}
    assert len(loaded.results) == 2
    assert (loaded.spec.optimizer.name, loaded.spec.optimizer.make) == (own.name, None)
    (folder / "results" / "chunk-00000.parquet").unlink()
    with pytest.raises(SpecError, match=f"The optimizer {own.name!r} of this study is one's own and has the name of"):
        sweep(loaded, progress=False)
    with pytest.raises(SpecError, match=f"he optimizer {own.name!r} is one of your own and has the name of one of"):
        sweep(loaded, optimizer=own, progress=False)
    with pytest.raises(
        StudyError, match=r"another spec .*optimizer adam there|another definition of the optimizer 'gd'"
    ):
        sweep("sine-5d", optimizer=own.name, hidden=[6], out=folder, **GRID)
