"""A definition of one's own that was changed under its old name: its numbers of before are not taken for its own."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nucleate import Activation, Network, StudyError, sweep
from nucleate.observe import Measure
from nucleate.optimizers import Optimizer
from nucleate.problems import Loss, Metric
from nucleate.studies import Study, make_spec
from tests.sealed import write_json

pytestmark = pytest.mark.slow

GRID = {"data": "sine-5d", "gains": [0.5], "steps": 10, "evaluations": 4}
WIDTH = 1.0


@dataclass(frozen=True)
class Scaled:
    """A cost that is an object of one's own."""

    by: float

    def __call__(self, outputs, y):
        return self.by * jnp.sum((outputs - y) ** 2, axis=1)


def huber(width):
    return lambda outputs, y: jnp.sum(jnp.sqrt(1 + ((outputs - y) / width) ** 2) - 1, axis=1)


def weighted(weights):
    return lambda outputs, y: jnp.sum(weights * (outputs - y) ** 2, axis=1)


def helper(distance):
    return WIDTH * distance**2


def by_a_helper(outputs, y):
    return jnp.sum(helper(outputs - y), axis=1)


def with_default(width):
    def cost(outputs, y, width=width):
        return jnp.sum(width * (outputs - y) ** 2, axis=1)

    return cost


def networks(width):
    def make(inputs, outputs, scale, seed):
        return Network.create(inputs, [width], outputs, scale=scale, seed=seed)

    return make


def loss(value, **more):
    return {"loss": Loss("mine", value, **more)}


def mae(scale):
    return Metric("mae", lambda predicted, true: scale * float(np.abs(predicted - true).mean()))


def activation(function, right=1.0):
    return {"activation": Activation("mine", function, 1, right, right)}


BEFORE_AND_AFTER = {
    "loss: its code": (loss(lambda outputs, y: ((outputs - y) ** 2).sum(1)), loss(lambda o, y: ((o - y) ** 4).sum(1))),
    "loss: what it closes over": (loss(huber(1.0)), loss(huber(2.0))),
    "loss: an array it closes over": (loss(weighted(np.ones(1))), loss(weighted(np.full(1, 2.0)))),
    "loss: a default": (loss(with_default(1.0)), loss(with_default(2.0))),
    "loss: an argument filled in": (
        loss(functools.partial(with_default(1.0), width=3.0)),
        loss(functools.partial(with_default(1.0), width=4.0)),
    ),
    "loss: compiled": (loss(jax.jit(huber(1.0))), loss(jax.jit(huber(2.0)))),
    "loss: an object": (loss(Scaled(1.0)), loss(Scaled(2.0))),
    "loss: its metric": (loss(huber(1.0), metric=mae(1)), loss(huber(1.0), metric=mae(2))),
    "optimizer": (
        {"optimizer": Optimizer("mine", lambda rate: optax.sgd(rate))},
        {"optimizer": Optimizer("mine", lambda rate: optax.sgd(2 * rate))},
    ),
    "optimizer: another of a package": (
        {"optimizer": Optimizer("mine", optax.lion)},
        {"optimizer": Optimizer("mine", optax.adamw)},
    ),
    "activation: its function": (activation(jnp.sin), activation(jnp.arctan)),
    "activation: its leading term": (activation(jnp.sin), activation(jnp.sin, right=0.9)),
    "model": ({"model": networks(3)}, {"model": networks(4)}),
    "measure": (
        {"measures": [Measure("mine", lambda layer, start: 1.0)]},
        {"measures": [Measure("mine", lambda layer, start: 2.0)]},
    ),
}


@pytest.mark.parametrize("changed", BEFORE_AND_AFTER)
def test_another_definition_of_the_same_name_has_another_fingerprint(changed):
    before, after = (make_spec(**GRID, **own) for own in BEFORE_AND_AFTER[changed])
    assert before.definitions != after.definitions
    assert before.model_dump(mode="json") == after.model_dump(mode="json")


def test_the_same_definition_made_again_has_the_same():
    own = [{**loss(huber(1.0)), **activation(lambda z: jnp.sin(z)), "optimizer": "adam"} for _ in range(2)]
    first, second = (make_spec(**GRID, **one).definitions for one in own)
    assert first == second
    assert list(first) == ["loss 'mine'", "activation 'mine'"]
    assert make_spec(**GRID, optimizer="momentum", activation="relu", loss="squared").definitions == {}


def test_what_a_function_takes_from_its_module_counts(monkeypatch):
    before = make_spec(**GRID, **loss(by_a_helper)).definitions
    monkeypatch.setitem(globals(), "WIDTH", 2.0)
    changed = make_spec(**GRID, **loss(by_a_helper)).definitions
    monkeypatch.undo()
    assert make_spec(**GRID, **loss(by_a_helper)).definitions == before != changed


OWN = """
import jax.numpy as jnp
from nucleate.observe import Measure
from nucleate.problems import Loss

KINDS = {"a", "b", "c", "d"}

class Cost:
    def __init__(self, power):
        self.power = power
    def __call__(self, outputs, y):
        return jnp.sum(jnp.abs(outputs - y) ** self.power, axis=1)

DEFINITIONS = {
    "loss": Loss("mine", Cost(3)),
    "measures": [Measure("kinds", lambda layer, start: float(len(KINDS)) if "a" in {"a", "z"} else 0.0)],
}
"""


def test_another_process_comes_to_the_same_fingerprints(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    module = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location("own", tmp_path / "own.py"))
    spec.loader.exec_module(module)
    program = (
        "import json, own; from nucleate.studies import make_spec; "
        f"print(json.dumps(make_spec(**{GRID!r}, **own.DEFINITIONS).definitions))"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    told = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(told.stdout) == make_spec(**GRID, **module.DEFINITIONS).definitions


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    own = {**loss(huber(1.0)), **activation(jnp.sin), "hidden": [4]}
    return sweep(**GRID, **own, out=tmp_path_factory.mktemp("redefined") / "study", progress=False)


def test_a_finished_study_is_not_taken_for_that_of_a_changed_definition(study):
    again = sweep(**GRID, **loss(huber(1.0)), **activation(jnp.sin), hidden=[4], out=study.path, progress=False)
    assert again.results.equals(study.results)
    said = (
        r"was made by another definition of the loss 'mine' and the activation 'mine' than the one given now; give the "
        r"changed one another name, choose another folder with `out`"
    )
    changed = {**loss(huber(2.0)), **activation(jnp.arctan), "hidden": [4]}
    with pytest.raises(StudyError, match=said):
        sweep(**GRID, **changed, out=study.path, progress=False)
    with pytest.raises(StudyError, match="another definition of the loss 'mine' than"):
        sweep(Study.load(study.path), **loss(huber(2.0)), **activation(jnp.sin), progress=False)


def test_reading_asks_for_no_definition(study):
    loaded = Study.load(study.path)
    assert loaded.results.equals(study.results)
    assert loaded.definitions == study.definitions
    assert loaded.load_problem(Loss("mine", huber(2.0))).loss.name == "mine"


def test_what_another_python_compiled_cannot_be_compared_and_that_is_said(study):
    file = study.path / "spec.json"
    kept = file.read_text()
    saved = json.loads(kept)
    saved["versions"]["python"] = "3.99.1"
    write_json(file, saved, "spec.json")
    try:
        with pytest.warns(UserWarning, match=r"begun with Python 3\.99, and this is .* the same loss 'mine'"):
            sweep(**GRID, **loss(huber(2.0)), **activation(jnp.sin), hidden=[4], out=study.path, progress=False)
    finally:
        file.write_text(kept)


def test_a_definition_that_failed_may_be_corrected_in_its_folder(tmp_path):
    def failing(layer, start):
        raise ValueError("not yet")

    own = {"hidden": [4], "out": tmp_path / "study", "progress": False}
    with pytest.raises(ValueError, match="not yet"):
        sweep(**GRID, **own, measures=[Measure("mine", failing)])
    right = Measure("mine", lambda layer, start: 4.0)
    study = sweep(**GRID, **own, measures=[right])
    assert study.results["mine_1"].to_list() == [4.0]
    assert study.forecasts["run"].to_list() == [0]
    assert sweep(Study.load(study.path), measures=[right], progress=False).missing == 0
    with pytest.raises(StudyError, match="another definition of the measure 'mine'"):
        sweep(**GRID, **own, measures=[Measure("mine", failing)])
