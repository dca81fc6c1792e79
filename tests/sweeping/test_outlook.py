"""What is said of runs that stayed on their plateau: held against training, and against what cannot be learned."""

import numpy as np
import optax
import pytest

import nucleate
from nucleate.optimizers import Optimizer
from nucleate.problems import Problem
from nucleate.reporting import say_outlook
from nucleate.sweeping import outlooks

pytestmark = pytest.mark.slow

DECAYED = Optimizer("decayed", optax.adamw)
GRID = {"hidden": [20, 20], "steps": 300, "progress": False}


def stuck_study(folder, problem, **settings):
    return nucleate.sweep(problem, out=folder / "study", **(GRID | settings))


def xor(rows=20):
    """Nothing of the target is linear in the inputs: without noise and in whole copies, not even by chance."""
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * rows, float)
    return Problem.from_arrays(x, (x[:, 0] != x[:, 1]).astype(float), name="xor")


@pytest.fixture(scope="module")
def stuck(tmp_path_factory):
    """The outlook of diabetes at a gain of 0.02."""
    (outlook,) = outlooks(stuck_study(tmp_path_factory.mktemp("stuck"), "diabetes", gains=[0.02]))
    return outlook


def test_a_plateau_is_forecast_to_end_when_it_does(stuck, tmp_path):
    assert (stuck.verdict, stuck.runs, stuck.steps) == ("ends", 1, 300)
    longer = nucleate.sweep("diabetes", gains=[0.02], out=tmp_path / "longer", **(GRID | {"steps": 2 * stuck.end}))
    assert longer.results["drop_30_percent"][0] == pytest.approx(stuck.end, rel=0.1)


def test_settings_that_are_forecast_to_help_do(stuck, tmp_path):
    remedies = {remedy.setting: remedy for remedy in stuck.remedies}
    assert set(remedies) == {"gain", "lr"}
    for number, changed in enumerate(({"gains": [remedies["gain"].value]}, {"lrs": [remedies["lr"].value]})):
        end = list(remedies.values())[number].end
        study = nucleate.sweep("diabetes", **({"gains": [0.02]} | changed), out=tmp_path / str(number), **GRID)
        assert study.results["stage"][0] != "initial plateau"
        assert study.results["drop_30_percent"][0] == pytest.approx(end, rel=0.15)


@pytest.fixture(scope="module")
def stuck_xor(tmp_path_factory):
    """The outlook of XOR."""
    (outlook,) = outlooks(stuck_study(tmp_path_factory.mktemp("xor"), xor(), gains=[0.1], steps=1000))
    return outlook


def test_what_nothing_linear_explains_never_ends_and_no_rate_is_named(stuck_xor):
    assert stuck_xor.verdict == "never"
    assert stuck_xor.end is None
    assert stuck_xor.linear_share < 0.01
    assert "lr" not in {remedy.setting for remedy in stuck_xor.remedies}


def test_a_relu_that_is_named_learns_it(stuck_xor, tmp_path):
    (relu,) = (remedy for remedy in stuck_xor.remedies if remedy.value == "relu")
    study = nucleate.sweep(xor(), gains=[0.1], activation="relu", out=tmp_path / "relu", **(GRID | {"steps": 1000}))
    assert study.results["drop_30_percent"][0] == pytest.approx(relu.end, rel=0.15)


@pytest.mark.parametrize("scale", [{"gains": [0.5]}, {"epsilons": [0.1]}, {"gammas": [0.7]}, {"fan_in_gammas": [0.7]}])
def test_no_start_beyond_the_standard_one_is_tried(scale, tmp_path):
    """Three times each of them draws larger weights than a gain of 1."""
    (outlook,) = outlooks(stuck_study(tmp_path, "diabetes", lrs=[1e-4], **(scale | {"steps": 20})))
    assert outlook.tried[0] == "lr"


def test_where_no_forecast_can_be_made_it_is_said_why(tmp_path):
    (outlook,) = outlooks(stuck_study(tmp_path, "diabetes", gains=[0.01], optimizer=DECAYED, lrs=[1e-5]))
    assert outlook.verdict == "no forecast"
    assert "weight decay" in outlook.reason
    assert "still on its initial plateau after 300 steps. No forecast was made" in say_outlook(outlook)


def test_runs_in_mini_batches_have_an_outlook_too(tmp_path):
    (outlook,) = outlooks(stuck_study(tmp_path, "diabetes", gains=[0.1], batch_size=50, steps=60))
    assert (outlook.verdict, outlook.reason) == ("ends", None)


def test_a_study_whose_data_are_gone_still_says_how_long_its_runs_took(tmp_path):
    file = tmp_path / "gone.csv"
    # As many rows and columns as `xor`, for which all is compiled.
    file.write_text("a,b,y\n" + "".join(f"{i % 5},{i % 3},{i % 7 / 2}\n" for i in range(80)))
    study = stuck_study(tmp_path, str(file), gains=[0.01])
    file.unlink()
    (outlook,) = outlooks(study)
    assert outlook.steps == 300
    assert "gone.csv" in outlook.reason


def test_where_all_runs_left_there_is_nothing_to_say(tmp_path):
    assert outlooks(stuck_study(tmp_path, "diabetes", gains=[1.0])) == ()
