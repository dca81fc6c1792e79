"""The command as its users meet it: what it prints where, and its exit codes; where that counts, as a real process."""

import inspect
import json
import subprocess
import sys

import polars as pl
import pytest

from nucleate import ConvNetwork, Transformer
from nucleate.cli.flags import SWEEP_FLAGS, TRAIN_FLAGS
from nucleate.init_scale import CONVENTIONS
from nucleate.studies import StudySpec

from .asking import ask, refusal

pytestmark = pytest.mark.slow

SMALL = ["--hidden", "8,8", "--steps", "30", "--evaluations", "5"]


def nucleate(*arguments, cwd="."):
    """A command in this process, as `subprocess.run` would answer."""
    return subprocess.CompletedProcess(arguments, *ask(*arguments, cwd=cwd))


def process(*arguments, cwd=None):
    command = [sys.executable, "-m", "nucleate.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_a_process_that_refuses_ends_with_one_line_and_exit_code_2():
    result = process("sweep", "absent.csv")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "nucleate: There is no file absent.csv; check the path.\n"


def test_help_does_not_import_jax():
    code = (
        "import sys, nucleate.cli; sys.argv = ['nucleate', '--help']\ntry: nucleate.cli.main()\nexcept SystemExit: pass"
    )
    code += "\nassert not {'jax', 'polars', 'sklearn', 'matplotlib', 'scipy', 'pydantic'} & set(sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for verb in ("forecast", "train", "sweep", "demo", "problems"):
        assert verb in result.stdout


def test_version():
    assert nucleate("--version").stdout.startswith("nucleate 0.")


def test_train_prints_the_time_course_and_keeps_the_run(tmp_path):
    result = nucleate("train", "sine-5d", *SMALL, "--gain", "0.1", "--seed", "3", "--out", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    assert "effective" in result.stdout
    assert "finished after 30 steps" in result.stdout
    assert result.stdout.splitlines()[-1] == str(tmp_path / "run")
    assert pl.read_parquet(tmp_path / "run" / "results" / "*.parquet")["seed"].to_list() == [3]


def test_train_as_json_is_one_object_with_the_trajectory(tmp_path):
    result = nucleate("train", "sine-5d", *SMALL, "--epsilon", "0.01", "--json", "--out", tmp_path / "run")
    answer = json.loads(result.stdout)
    assert answer["result"]["status"] == "finished"
    assert answer["result"]["epsilon"] == 0.01
    assert answer["trajectory"][0]["step"] == 0


def test_sweep_prints_the_table_as_text_and_as_json(tmp_path):
    arguments = ["sweep", "wine", *SMALL, "--gains", "1,0.1", "--lrs", "0.1,1e5", "--seeds", "2", "--out", "study"]
    text = nucleate(*arguments, cwd=tmp_path)
    assert text.returncode == 0, text.stderr
    assert "test accuracy" in text.stdout
    again = nucleate(*arguments, "--json", cwd=tmp_path)
    answer = json.loads(again.stdout)
    assert answer["study"] == "study"
    assert len(answer["results"]) == 8
    assert {"gain", "lr", "seed", "status", "effective_neurons_2", "directions_1"} <= answer["results"][0].keys()


def test_sweep_takes_a_toml_spec_and_flags_change_it(tmp_path):
    (tmp_path / "study.toml").write_text(
        'data = "sine-5d"\ngains = [1.0, 0.1]\nhidden = [8, 8]\nsteps = 30\nevaluations = 5\n'
    )
    result = nucleate("sweep", "--spec", "study.toml", "--seeds", "2", "--json", cwd=tmp_path)
    assert len(json.loads(result.stdout)["results"]) == 4
    assert len(list((tmp_path / "nucleate-studies").iterdir())) == 1


def test_every_field_of_a_spec_that_is_no_python_object_has_its_flag():
    fields = set(StudySpec.model_fields) - {"measures"}
    # A share of the rows and a file with them are two flags for one field.
    flags = fields | {"momentum", "spec", "validation_file", "test_file"}
    of_models = {name for one in (ConvNetwork, Transformer) for name in inspect.signature(one.create).parameters}
    assert set(SWEEP_FLAGS) == flags | of_models - {"outputs", "scale", "seed"}
    once = {f"{one}s": one for one in ("lr", "seed", "weight_decay", *CONVENTIONS)}
    assert set(TRAIN_FLAGS) == {once.get(field, field) for field in SWEEP_FLAGS}


def test_a_forecast_says_why_it_takes_no_dropout():
    said = refusal("forecast", "sine-5d", "--hidden", "4", "--budget", "9", "--dropout", "0.1")
    assert said.splitlines()[-1] == "nucleate: Forecasts are of training without dropout; leave out the dropout."


def test_the_momentum_and_the_loss_reach_the_study(tmp_path):
    flags = ["--optimizer", "momentum", "--momentum", "0.5", "--loss", "cross_entropy", "--gain", "1"]
    result = nucleate("train", "wine", *SMALL, *flags, "--out", "run", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    spec = json.loads((tmp_path / "run" / "spec.json").read_text())["spec"]
    assert (spec["optimizer"], spec["loss"]) == ({"name": "momentum", "momentum": 0.5}, "cross_entropy")


def test_own_data_with_a_target_column(tmp_path):
    rows = [f"{k},{'left' if k % 3 else 'right'},{k * k % 17}" for k in range(60)]
    (tmp_path / "own.csv").write_text("a,side,price\n" + "\n".join(rows))
    result = nucleate("sweep", "own.csv", "--target", "price", *SMALL, "--gains", "1", "--json", cwd=tmp_path)
    assert json.loads(result.stdout)["results"][0]["test_rmse"] > 0


def test_problems_lists_what_is_bundled():
    names = [problem["name"] for problem in json.loads(nucleate("problems", "--json").stdout)["problems"]]
    assert {"diabetes", "breast_cancer", "wine", "digits", "sine-5d", "four-relu-1d", "teacher-3"} <= set(names)
    assert "sine-5d" in nucleate("problems").stdout


def test_the_notes_of_problems_name_flags_alone(tmp_path):
    (tmp_path / "own.csv").write_text("twin,y\n" + "\n".join(f"{k},{2 * k}" for k in range(40)))
    said = nucleate("problems", "own.csv", cwd=tmp_path).stdout
    assert "leave it out: --without twin.\n" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sweep"], "No data are named; give a bundled set such as diabetes"),
        (["sweep", "diabets"], "diabetes"),
        (["sweep", "absent.csv"], "absent.csv"),
        (["sweep", "own.csv", "--target", "prise"], "price"),
        (["sweep", "diabetes", "--gains", "0"], "init scale gain is 0.0; it must be positive"),
        (
            ["sweep", "diabetes", "--gains", "1", "--gammas", "2"],
            "Give exactly one of --gains, --epsilons, --gammas and --fan-in-gammas; there is --gains and --gammas",
        ),
        (["sweep", "diabetes", "--gains", "1,x"], "--gains is '1,x'; it must be a list of numbers such as 1,0.3,0.1"),
        (
            ["sweep", "diabetes", "--hidden", "8.5"],
            "--hidden is '8.5'; it must be a list of whole numbers such as 128,128",
        ),
        (["forecast", "diabetes", "--budget", "0"], "--budget is '0'; it must be 1 or more"),
        (
            ["forecast", "diabetes", "--nope"],
            "There is no flag --nope of `nucleate forecast`; see `nucleate forecast --help`",
        ),
        (["smelt"], "There is no command 'smelt'; see `nucleate --help`"),
        (
            ["sweep", "diabetes", "--optimizer", "sgd"],
            "but there is no optimizer 'sgd'; did you mean 'gd'? Choose one of gd",
        ),
        (
            ["sweep", "diabetes", "--momentum", "0.5"],
            "--momentum is a parameter of --optimizer momentum",
        ),
        (
            ["sweep", "diabetes", "--optimizer", "momentum", "--momentum", "1"],
            "the momentum is 1.0; it must be",
        ),
        (["sweep", "diabetes", "--loss", "hinge"], "there is no loss 'hinge'; choose one of squared"),
        (["train", "diabetes", "--batch-size", "9999"], "The batch size is 9999, but there are"),
        (["forecast", "diabetes", "--batch-size", "9999"], "The batch size is 9999, but there are"),
        (["forecast", "diabetes", "--batch-size", "0"], "--batch-size is 0; it must be 1 or more"),
        (["forecast", "diabetes", "--batch-size", "-4"], "--batch-size is -4; it must be 1 or more"),
        (["forecast", "diabetes", "--batch-size", "2.5"], "--batch-size is '2.5'; it must be a whole number"),
        (["train", "diabetes", "--activation", "cosh"], "there is no activation 'cosh'; choose one of linear, tanh"),
        (["train", "--spec", "absent.toml"], "The spec absent.toml cannot be read"),
        (["train", "--spec", "grid.toml"], "asks for 2 runs; train takes one, so use nucleate sweep"),
        (["train", "sine-5d", "--out", "own.csv"], "own.csv exists and is not a study"),
        (["train", "sine-5d", "--out", "own.csv/run"], "own.csv/run cannot be made ("),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_exit_code_2(tmp_path, arguments, sentence):
    (tmp_path / "own.csv").write_text("a,price\n" + "\n".join(f"{k},{k % 7}" for k in range(40)))
    (tmp_path / "grid.toml").write_text('data = "sine-5d"\ngains = [1, 0.5]')
    said = refusal(*arguments, cwd=tmp_path)
    assert "Usage" not in said
    assert said.splitlines()[-1].startswith("nucleate: ")
    assert sentence in said.splitlines()[-1]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["grid.toml", "own.csv"]


def test_without_a_command_the_help_is_printed():
    result = nucleate()
    assert result.returncode == 0, result.stderr
    assert "forecast" in result.stdout


def test_debug_shows_where_an_error_came_from():
    result = nucleate("--debug", "sweep", "absent.csv")
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("\nnucleate: There is no file absent.csv; check the path.\n")


def test_forecast_tells_steps_and_recommends_a_scale_and_check_confirms(tmp_path):
    arguments = ["forecast", "diabetes", "--hidden", "20,20", "--epsilons", "0.02,0.01", "--lrs", "0.1", "--check"]
    answer = json.loads(nucleate(*arguments, "--json", "--budget", "1000", cwd=tmp_path).stdout)
    for row in answer["forecasts"]:
        assert row["lower_10"] <= row["measured_10_percent"] <= row["upper_10"]
        assert set(row["sides"]) == {-1, 1}
        steps, loss = row["loss_curve"]["steps"], row["loss_curve"]["loss"]
        assert steps[0] == 0
        assert loss[-1] < 0.9 * loss[0]
        assert len(steps) == len(loss)
    (direction,) = answer["target_directions"]
    assert max(direction, key=lambda name: abs(direction[name])) == "bmi"
    assert sum(component**2 for component in direction.values()) == pytest.approx(1)
    assert answer["recommendation"]["scale"] == 0.01
    text = nucleate(*arguments, "--budget", "3", cwd=tmp_path)
    assert text.returncode == 0, text.stderr
    assert "At none of these scales is the plateau certain to end within 3 steps" in text.stdout
    assert "not within 60 steps" in text.stdout
    assert "turn to the target direction or its opposite, +0.50 bmi" in text.stdout
    assert not list(tmp_path.iterdir())


def test_what_was_left_out_of_the_data_is_said_before_a_forecast_too(tmp_path):
    table = pl.DataFrame({"a": range(40), "same": [1] * 40, "y": [k % 7 for k in range(40)]})
    table.write_csv(tmp_path / "own.csv")
    result = nucleate("forecast", "own.csv", "--hidden", "4", "--epsilons", "0.1", "--json", cwd=tmp_path)
    assert "Note: Left out constant input column 'same'." in result.stderr
    assert "Left out constant input column 'same'." in json.loads(result.stdout)["notes"]
