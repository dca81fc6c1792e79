"""`nucleate inspect`: a table, or one JSON object, and one sentence where there is nothing to inspect."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from nucleate import inspect
from tests.cli.asking import ask, refusal


@pytest.fixture
def checkpoint(tmp_path):
    weights = np.outer([1.0, -2.0, 3.0], [1.0, 2.0]).astype("float32")
    save_file({"fc.weight": weights, "norm.weight": np.ones(3)}, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_a_table_with_what_is_random_and_what_is_left_out(checkpoint):
    answer = ask("inspect", checkpoint)
    assert answer.exit_code == 0
    assert "in brackets what a random matrix of the same shape and row norms gives" in answer.stdout
    assert [line.split()[:4] for line in answer.stdout.splitlines() if line.startswith("fc")] == [
        ["fc", "linear", "3", "2"]
    ]
    assert "Left out: norm.weight: a single number or a vector" in answer.stdout
    assert "name it with --activation" in answer.stderr


def test_json_has_every_row(checkpoint):
    answer = json.loads(ask("inspect", checkpoint, "--json", "--activation", "tanh", "--reference", checkpoint).stdout)
    expected = inspect(checkpoint, activation="tanh", reference=checkpoint)
    assert answer["table"] == expected.table.to_dicts()
    assert answer["left_out"] == expected.left_out.to_dicts()
    assert {row["measure"]: row["value"] for row in answer["table"]}["directions"] == 1


def test_what_is_none_is_refused(checkpoint):
    assert "There is no checkpoint none.safetensors" in refusal("inspect", "none.safetensors")
    assert "No file fits the pattern none*.pt" in refusal("inspect", "none*.pt")
    assert "did you mean 'tanh'" in refusal("inspect", checkpoint, "--activation", "tan")
    assert "--seed is -1; it must be a whole number, 0 or more" in refusal("inspect", checkpoint, "--seed", "-1")
