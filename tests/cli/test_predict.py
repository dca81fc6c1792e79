"""`nucleate predict` as its users meet it: a file read as training read its own, and predictions of the same model."""

import csv
import datetime
import io
import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import nucleate
from nucleate import InitScale, Network
from nucleate.exports import export, predict

from .test_cli import nucleate as command

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of a file with padded texts, thousands separators and percent signs."""
    folder = tmp_path_factory.mktemp("predict")
    rng = np.random.default_rng(0)
    rows = [
        f"{grade};{amount:,};{share:.2f}%;{'TRUE' if k % 3 else 'false'};{amount / 1000 + share:.4f}"
        for k, (grade, amount, share) in enumerate(
            zip(rng.choice(["A", " B ", "C　"], 120), rng.integers(100, 5000, 120), rng.uniform(0, 9, 120), strict=True)
        )
    ]
    (folder / "train.csv").write_text("\n".join(["grade;amount;share;member;y", *rows]))
    problem = nucleate.load_problem(folder / "train.csv", thousands=",")
    network = Network.create(problem.inputs, [8], 1, scale=InitScale("gain", 1.0), bias=True)
    for ending in ("onnx", "safetensors"):
        done = export(
            network, problem, folder / f"model.{ending}", {"certificate": "Moves by 0.5.", "deviation": "0.5"}
        )
        assert done.largest_difference < 1e-4
    return folder, problem, network


def test_the_export_is_checked_on_rows_as_they_stood_in_the_file(folder):
    _, problem, _ = folder
    assert {" B ", "C　", "A"} == set(problem.test_rows["grade"].to_list())
    assert set(problem.test_rows["member"].to_list()) == {"TRUE", "false"}


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
def test_a_new_file_is_read_as_training_read_its_own(folder, ending):
    at, problem, network = folder
    (at / "new.csv").write_text("share;grade;amount;member\n5.00%;B;1,234;true\n2.50%; A;999;FALSE\n3.10%;D;10;true\n")
    done = predict(at / f"model.{ending}", at / "new.csv")
    rows = pl.DataFrame(
        {"grade": ["B", "A", "D"], "amount": [1234, 999, 10], "share": [5.0, 2.5, 3.1], "member": [True, False, True]}
    )
    expected = problem.predict(network(problem.preprocessing.transform(rows)))
    np.testing.assert_allclose(done.table["y"], expected[:, 0], rtol=1e-5)
    assert done.table["unknown"].to_list() == [0, 0, 1]
    assert done.table["deviation"].to_list() == [0.5] * 3
    assert any("'grade' has 'D'" in note and "row 3" in note for note in done.notes)


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
def test_rows_beyond_what_training_saw_are_said_to_be(folder, ending):
    at, problem, _ = folder
    place = problem.preprocessing.encoded_inputs.index("amount")
    column = next(column for column in problem.preprocessing.inputs if column.name == "amount")
    seen = np.rint(problem.train.x[:, place] * column.std + column.mean).astype(int)
    inside = f"2.50%;A;{seen.min()};FALSE\n2.50%;A;{seen.max()};FALSE\n"
    (at / "far.csv").write_text(f"share;grade;amount;member\n{inside}2.50%;A;1000000000;FALSE\n-4%;A;-1;true\n")
    done = predict(at / f"model.{ending}", at / "far.csv")
    assert done.beyond == {"amount": 2, "share": 1}
    said = [note for note in done.notes if "beyond" in note]
    assert len(said) == 1
    assert said[0].startswith("2 of 4 rows (rows 3, 4) lie beyond the range that training saw in columns ")
    assert f"'amount' ({seen.min()} to {seen.max()}, here from -1 to 1000000000)" in said[0]
    assert ", here down to -4)" in said[0]
    assert "its certificate is for rows drawn as those of the data were" in said[0]
    result = command("predict", str(at / f"model.{ending}"), str(at / "far.csv"), "--json")
    content = json.loads(result.stdout)
    assert content["beyond"] == done.beyond
    assert said[0] in content["notes"]
    (at / "one.csv").write_text("share;grade;amount;member\n2.50%;A;1000000000;FALSE\n")
    (note,) = [note for note in predict(at / f"model.{ending}", at / "one.csv").notes if "beyond" in note]
    assert note.startswith("1 of 1 row (row 1) lies beyond the range that training saw in column 'amount' (")
    (at / "inside.csv").write_text(f"share;grade;amount;member\n{inside}")
    done = predict(at / f"model.{ending}", at / "inside.csv")
    assert not done.beyond
    assert not any("beyond" in note for note in done.notes)


def test_a_model_that_does_not_know_its_ranges_stays_readable(folder):
    at, problem, network = folder
    text = problem.preprocessing.without_spans().to_json().replace(',"span":null', "")
    assert "span" not in text
    network.save(at / "older.safetensors", {"preprocessing": text})
    (at / "huge.csv").write_text("share;grade;amount;member\n2.50%;A;1000000000;FALSE\n")
    done = predict(at / "older.safetensors", at / "huge.csv")
    assert len(done.table) == 1
    assert not done.beyond


def test_what_training_did_not_have_is_refused(folder):
    at, _, _ = folder
    (at / "bare.csv").write_text("share;grade;amount;member\n5%;B;1,234;true\n-;A;5;true\n")
    with pytest.raises(nucleate.DataError, match=r"'share' has 1 missing value \(row 2\)"):
        predict(at / "model.onnx", at / "bare.csv")
    done = predict(at / "model.onnx", at / "bare.csv", drop_missing=True)
    assert done.table["row"].to_list() == [1]
    (at / "fraction.csv").write_text("share;grade;amount;member\n0.05;B;1,234;true\n")
    with pytest.raises(nucleate.DataError, match="has numbers without a unit, but it had numbers in % in training"):
        predict(at / "model.onnx", at / "fraction.csv")
    (at / "yen.csv").write_text("share;grade;amount;member\n5%;B;¥1,234;true\n")
    with pytest.raises(nucleate.DataError, match=r"'amount' of .* has numbers in ¥, but it had numbers without a unit"):
        predict(at / "model.onnx", at / "yen.csv")


def test_the_command_writes_a_table_or_one_object(folder):
    at, _, _ = folder
    (at / "new.csv").write_text("share;grade;amount;member\n5.00%;B;1,234;true\n")
    result = command("predict", "model.onnx", "new.csv", cwd=at)
    assert result.returncode == 0, result.stderr
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert row["deviation"] == "0.5"
    assert "Moves by 0.5." in result.stderr
    answer = json.loads(command("predict", "model.safetensors", "new.csv", "--json", "--out", "p.csv", cwd=at).stdout)
    assert answer["predictions"][0]["y"] == pytest.approx(float(row["y"]), rel=1e-5)
    assert (at / "p.csv").read_bytes().startswith(b"\xef\xbb\xbfrow,")
    before = (at / "new.csv").read_bytes()
    refused = command("predict", "model.onnx", "new.csv", "--out", "./new.csv", cwd=at)
    assert refused.returncode == 2
    assert "new.csv is what is read, and would be written over; name another file to write" in refused.stderr
    assert (at / "new.csv").read_bytes() == before
    refused = command("predict", "new.csv", "new.csv", cwd=at)
    assert refused.returncode == 2
    assert "expected .onnx or .safetensors" in refused.stderr


def test_a_new_file_may_spell_texts_dates_and_times_otherwise(tmp_path):
    rows = [f"{'yes' if k % 3 else 'No'},{1 + k % 9}/{13 + k % 9}/2024,{k % 24}:30,{k / 7:.3f}" for k in range(90)]
    (tmp_path / "train.csv").write_text("\n".join(["ok,day,at,y", *rows]))
    problem = nucleate.load_problem(tmp_path / "train.csv")
    network = Network.create(problem.inputs, [4], 1, scale=InitScale("gain", 1.0))
    assert export(network, problem, tmp_path / "model.onnx").largest_difference < 1e-4
    for new in ("day,at,ok\n1/2/2024,9:30,ＹＥＳ\n", "day,at,ok\n2024年1月2日,午前9時30分,Yes\n"):
        (tmp_path / "new.csv").write_text(new)
        done = predict(tmp_path / "model.onnx", tmp_path / "new.csv")
        expected = pl.DataFrame({"ok": ["yes"], "day": [datetime.date(2024, 1, 2)], "at": [9.5]})
        np.testing.assert_allclose(
            done.table["y"], problem.predict(network(problem.preprocessing.transform(expected)))[:, 0], rtol=1e-5
        )
        assert done.table["unknown"].to_list() == [0]
    (tmp_path / "new.csv").write_text("day,at,ok\n19724,9.5,yes\n")
    with pytest.raises(nucleate.DataError, match=r"has numbers without a unit, but it had dates in training"):
        predict(tmp_path / "model.onnx", tmp_path / "new.csv")


def test_predictions_of_a_folder_and_of_standard_input(folder):
    at, _, _ = folder
    (at / "days").mkdir()
    text = "share;grade;amount;member\n5.00%;B;1,234;true\n"
    for name in ("1.csv", "2.csv"):
        (at / "days" / name).write_text(text)
    done = command("predict", at / "model.onnx", at / "days")
    assert len(done.stdout.splitlines()) == 3
    assert "Read 2 files of" in done.stderr
    call = [sys.executable, "-m", "nucleate.cli", "predict", str(at / "model.onnx"), "-"]
    done = subprocess.run(call, input=text, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2


def test_a_study_for_a_model_is_told_where_the_models_are(folder):
    at, _, _ = folder
    with pytest.raises(nucleate.ArchitectureError, match=r"is a folder; name a \.onnx or \.safetensors file"):
        predict(at, at / "new.csv")
