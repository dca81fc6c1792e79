"""`nucleate inspect`: a table, or one JSON object, and one sentence where there is nothing to inspect."""

import json
import pickle

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
    assert "in brackets what one random matrix of the same shape and row norms gives" in answer.stdout
    assert [line.split()[:4] for line in answer.stdout.splitlines() if line.startswith("fc")] == [
        ["fc", "linear", "3", "2"]
    ]
    assert "Left out: norm.weight: a single number or a vector" in answer.stdout
    assert "name it by --activation" in answer.stderr


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


def cut(path):
    save_file({"w": np.eye(3)}, path)
    path.write_bytes(path.read_bytes()[:-4])


NONE = {
    "NaN": ("a.safetensors", lambda path: save_file({"w": np.full((2, 2), np.nan)}, path), "w of a.safetensors has 4"),
    "no layer": ("a.npz", lambda path: np.savez(path, v=np.ones(3)), "There is no layer that can be measured in a.npz"),
    "half a file": ("a.safetensors", cut, "a.safetensors is not a readable safetensors file"),
    "no checkpoint": ("a.txt", lambda path: path.write_text("hello"), "a.txt is no checkpoint"),
    "code": ("a.pkl", lambda path: path.write_bytes(pickle.dumps(print)), "a.pkl is a pickle, which can run any code"),
}


@pytest.mark.parametrize("what", NONE)
def test_a_file_that_holds_no_model_is_one_sentence_and_one_object(what, tmp_path):
    name, write, says = NONE[what]
    write(tmp_path / name)
    said = refusal("inspect", name, cwd=tmp_path)
    assert says in said
    assert said.count("\n") == 1
    answer = ask("inspect", name, "--json", cwd=tmp_path)
    assert answer.exit_code == 2
    assert f"nucleate: {json.loads(answer.stdout)['error']['message']}" == said.strip()


@pytest.fixture
def run(tmp_path):
    """Checkpoints of a layer whose units turn to one direction, at steps that names order only as numbers."""
    rng = np.random.default_rng(0)
    start, axis = rng.standard_normal((9, 6)), rng.standard_normal(6)
    for step, share in ((0, 0.0), (90, 0.5), (1000, 1.0)):
        weights = (1 - share) * start + share * np.outer(np.linspace(1, 2, 9), axis)
        save_file({"fc.weight": weights, "<i>.weight": weights.T.copy()}, tmp_path / f"step-{step}.safetensors")
    return tmp_path


def test_checkpoints_are_ordered_by_their_steps_and_measured_from_the_first(run):
    answer = json.loads(ask("inspect", run / "step-*.safetensors", "--json").stdout)
    rows = [row for row in answer["table"] if row["layer"] == "fc"]
    assert [row["step"] for row in rows if row["measure"] == "norm"] == [0, 90, 1000]
    assert [row["value"] for row in rows if row["measure"] == "directions"][-1] == 1
    moved = [row["value"] for row in rows if row["measure"] == "relative_distance"]
    assert moved[0] == 0 < moved[1] < moved[2]


def test_checkpoints_become_a_table_and_a_page_in_each_language(run):
    answer = ask("inspect", run / "step-*.safetensors", "--out", run / "study")
    assert answer.exit_code == 0, answer.stderr
    assert "3 checkpoints from step 0 to 1,000" in answer.stdout
    assert sorted(file.name for file in (run / "study").iterdir()) == [
        "record.safetensors",
        "report-en.html",
        "report-ja.html",
        "table.parquet",
    ]
    for lang, word in (("en", "Effective rank of the weights."), ("ja", "重みの実効ランク")):
        page = (run / "study" / f"report-{lang}.html").read_text("utf-8")
        assert word in page
        assert "&lt;i&gt;" in page
        assert "<i>" not in page.split("<script")[0]


def test_of_all_checkpoints_it_is_said_once_which_activations_are_not_known(tmp_path):
    rng = np.random.default_rng(0)
    one_way, spread = np.outer(np.ones(6), np.arange(1.0, 5.0)), rng.standard_normal((6, 4))
    for step, (first, second) in enumerate([(one_way, spread), (one_way, one_way), (spread, one_way)]):
        save_file({"a.weight": first, "b.weight": second}, tmp_path / f"step-{step}.safetensors")
    said = ask("inspect", tmp_path / "step-*.safetensors").stderr
    assert said.count("whose activation is not known") == 1
    assert "two directions in a, b, whose activation" in " ".join(said.split())


def test_checkpoints_that_are_not_of_one_model_are_refused(run):
    save_file({"fc.weight": np.eye(3)}, run / "step-2000.safetensors")
    said = refusal("inspect", run / "step-*.safetensors")
    assert "fc.weight has shape (9, 6) in step-0.safetensors and shape (3, 3) in step-2000.safetensors" in said
    one = refusal("inspect", run / "step-0.safetensors", "--out", run / "study")
    assert "is one checkpoint, and --out is for several" in one
