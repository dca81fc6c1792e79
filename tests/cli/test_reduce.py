"""`nucleate reduce` as its users meet it."""

import json

import numpy as np
import polars as pl
import pytest

from nucleate.cli import main
from tests.cli.asking import ask

from .test_cli import nucleate

pytestmark = pytest.mark.slow

SWEEP = ["--hidden", "12,12", "--gains", "0.1", "--lrs", "0.1", "--steps", "200", "--evaluations", "6"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    data = pl.DataFrame({"a": rng.standard_normal(150), "b": rng.standard_normal(150)})
    data = data.with_columns(price=(3 * pl.col("a") - pl.col("b")).tanh() + pl.Series(0.1 * rng.standard_normal(150)))
    data.write_csv(folder / "data.csv")
    data.rename({"a": "area"}).write_csv(folder / "other.csv")
    result = nucleate("sweep", folder / "data.csv", "--target", "price", *SWEEP, "--out", folder / "study", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_a_study_becomes_a_small_file_and_keeps_its_reduction(table):
    result = nucleate("reduce", "study", "--out", "small.onnx", cwd=table)
    assert result.returncode == 0, result.stderr
    assert "hidden widths 12,12 become" in result.stdout
    assert "at most 1 in 31" in result.stdout
    assert "small.onnx: answers as the network does on 30 rows" in result.stdout
    assert (table / "study" / "reduction" / "reduction.json").exists()


def test_a_network_with_its_data_as_json(table):
    network = "study/weights/run-00000-best.safetensors"
    result = nucleate("reduce", network, "--data", "data.csv", "--method", "merge", "--json", cwd=table)
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["hidden"]["before"] == [12, 12]
    assert answer["certificate"]["probability"] == pytest.approx(1 / 31)
    assert answer["bound"]["kind"] == "largest over the box of the training inputs"
    assert {baseline["name"] for baseline in answer["baselines"]} == {
        "constant",
        "linear model",
        "narrow network",
    }
    constant = answer["baselines"][0]
    assert constant["comparison"]["verdict"] == "worse"
    assert constant["comparison"]["rows"] == 30
    assert set(constant["further"]) == set(answer["further"]["after"]) == {"mae", "r2"}


NETWORK = "study/weights/run-00000-best.safetensors"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gone.safetensors", "--data", "data.csv"], "There is no network file gone.safetensors"),
        (["data.csv", "--data", "data.csv"], "it has no checksum, so nucleate did not write it"),
        (["."], "holds no study"),
        ([NETWORK, "--data", "data.csv", "--out", NETWORK], "is what is read, and would be written over"),
        ([NETWORK], "No data are named for the network"),
        ([NETWORK, "--data", "other.csv"], "no column 'a', which the model reads"),
        (["study", "--tolerance", "5"], "between 0 and 1"),
        (["study", "--out", "gone/small.onnx"], "does not exist"),
        (["study", "--out", "small.pkl"], "expected .onnx or .safetensors"),
        (["study", "--method", "prune"], "no method 'prune'"),
        (["study", "--run", "9"], "No run 9 of study has trained to its end; its runs are 0 to 0"),
        ([NETWORK, "--data", "data.csv", "--run", "0"], "is one network and has no runs"),
        (["study", "--target", "price"], "leave these flags out"),
    ],
)
def test_what_cannot_be_reduced_is_one_sentence(table, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(table)
    monkeypatch.setattr("sys.argv", ["nucleate", "reduce", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr()
    assert left.value.code == 2
    assert told.out == ""
    assert says in told.err
    assert len(told.err.strip().splitlines()) == 1


def test_a_run_on_its_plateau_is_reduced_with_a_note_and_compared_with_nothing(tmp_path):
    grid = ["sine-5d", "--gains", "0.001", "--hidden", "8,8", "--lrs", "0.05", "--steps", "20", "--out", "study"]
    swept = ask("sweep", *grid, cwd=tmp_path)
    assert "beside simpler models" in swept.stdout
    assert "against the network" not in swept.stdout
    assert "There is nothing to recommend yet" in " ".join(swept.stdout.split())
    assert json.loads(ask("sweep", *grid, "--json", cwd=tmp_path).stdout)["recommended_run"] is None
    done = ask("reduce", "study", "--json", cwd=tmp_path)
    assert "Run 0 stayed on its initial plateau, so it has learned nothing" in " ".join(done.stderr.split())
    assert [baseline["comparison"] for baseline in json.loads(done.stdout)["baselines"]] == [None] * 3
