"""`nucleate problems FILE`: what a file holds, without training, whether it can be trained on or not."""

import json
import subprocess
import sys

import numpy as np
import pytest

from nucleate import SpecError, sweep

from .test_cli import nucleate, refusal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("problems"), np.random.default_rng(0)
    size, town = rng.normal(50, 10, 100), rng.choice(["Apia", "Bern"], 100)
    rows = [f"{town[k]},{'NA' if k % 9 == 0 else f'{size[k]:.2f}'},{3 * size[k] + k % 5:.3f}" for k in range(100)]
    (folder / "homes.csv").write_text("town,size,price\n" + "\n".join(rows))
    return folder


def test_the_table_says_what_each_column_holds_and_becomes(folder):
    result = nucleate("problems", "homes.csv", "--target", "price", "--impute", "median", cwd=folder)
    assert result.returncode == 0, result.stderr
    town, size, price, *_, problem = result.stdout.splitlines()
    assert town.split("  ")[0] == "town"
    assert "one-hot into 2" in town
    assert "12 missing" in size
    assert "kept, imputed by median (" in size
    assert price.rstrip().endswith("target")
    assert problem == "Problem(homes, regression, 3 inputs, 1 output, 60 + 20 + 20 rows)"


def test_a_file_that_training_refuses_is_shown_all_the_same(folder):
    answer = json.loads(nucleate("problems", "homes.csv", "--json", cwd=folder).stdout)
    assert answer["problem"] is None
    assert "Input column 'size' has 12 missing values" in answer["refused"]
    assert "--impute median" in answer["refused"]
    assert [(column["column"], column["missing"]) for column in answer["columns"]] == [
        ("town", 0),
        ("size", 12),
        ("price", 0),
    ]


def test_standard_input_is_read_once_and_not_for_a_study(folder):
    command = [sys.executable, "-m", "nucleate.cli", "problems", "-", "--drop-missing"]
    text = (folder / "homes.csv").read_text()
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert "Left out 12 rows with missing values" in result.stdout
    assert "A study reads its data again, and standard input (-) is gone then" in refusal("sweep", "-")
    with pytest.raises(SpecError, match="name a file"):
        sweep("-", gains=[1])


def test_what_cannot_be_asked_is_refused(folder):
    assert "--target is of data, and none are named" in refusal("problems", "--target", "y")
    assert "cannot be imputed by 'zero'; choose median" in refusal(
        "problems", "homes.csv", "--impute", "zero", cwd=folder
    )
    assert "There is no file absent.csv" in refusal("problems", "absent.csv")


@pytest.fixture(scope="module")
def trained(folder):
    flags = ["--impute", "mean", "--without", "town", "--validation-fraction", "0.3", "--test-fraction", "0.25"]
    arguments = ["homes.csv", *flags, "--hidden", "3", "--steps", "3", "--evaluations", "4", "--out", "study"]
    result = nucleate("train", *arguments, cwd=folder)
    assert result.returncode == 0, result.stderr
    return result


def test_a_study_shows_and_keeps_what_became_of_the_columns(folder, trained):
    result = trained
    assert "Column town   text    Apia, Bern" in result.stderr
    assert "left out, as asked" in result.stderr
    kept = json.loads((folder / "study" / "data.json").read_text())
    assert kept["columns"][1]["became"].startswith("kept, imputed by mean (")
    assert any("Column 'size' was imputed by mean" in note for note in kept["notes"])
    spec = json.loads((folder / "study" / "spec.json").read_text())
    assert spec["rows"] == {"train": 45, "validation": 30, "test": 25}
    asked = {"impute": "mean", "without": ["town"], "validation": 0.3, "test": 0.25}
    assert asked.items() <= spec["spec"].items()


def test_a_saved_network_is_reduced_on_the_split_of_its_study(folder, trained):
    network = folder / "study" / "weights" / "run-00000-best.safetensors"
    result = nucleate("reduce", network, "--data", "homes.csv", "--json", cwd=folder)
    assert json.loads(result.stdout)["certificate"]["rows"] == 25, result.stderr


def test_a_gap_in_the_target_is_said_once_and_not_to_be_imputed(tmp_path):
    rows = [f"{k % 7},{'-' if k == 5 else k % 11}" for k in range(40)]
    (tmp_path / "scores.csv").write_text("\n".join(["x,score", *rows]))
    said = nucleate("problems", "scores.csv", cwd=tmp_path).stdout
    assert "Target column 'score' has 1 missing value (row 6). Fill them, or pass --drop-missing." in said
    assert "--impute" not in said
    assert said.count("has '-' in row 6, read as missing") == 1
