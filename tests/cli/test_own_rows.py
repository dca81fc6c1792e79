"""A person's own parts from the flags to the page: every command says what split it used, and keeps it."""

import json
from contextlib import chdir

import numpy as np
import polars as pl
import pytest

from nucleate.studies import Study

from .asking import ask, refusal

pytestmark = pytest.mark.slow

TINY = ["--target", "y", "--hidden", "3", "--steps", "20", "--evaluations", "4", "--gains", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, rng, n = tmp_path_factory.mktemp("own"), np.random.default_rng(0), 200
    x = rng.normal(size=n)
    table = pl.DataFrame(
        {
            "x": x,
            "z": rng.normal(size=n),
            "who": np.arange(n) // 5,
            "day": np.arange(n),
            "y": x + 0.1 * rng.normal(size=n),
        }
    )
    table = table.with_columns(part=pl.Series(["学習"] * 120 + ["検証"] * 40 + ["テスト"] * 40))
    table.write_csv(folder / "all.csv")
    for name, rows in {"train": slice(120), "validation": slice(120, 160), "test": slice(160, 200)}.items():
        table[rows].select("x", "z", "y").write_csv(folder / f"{name}.csv")
    return folder


def answer(*arguments, cwd):
    told = ask(*arguments, cwd=cwd)
    assert told.exit_code == 0, told.stderr
    return told


@pytest.fixture(scope="module")
def grouped(folder):
    """A sweep by groups, and what it says."""
    return answer("sweep", "all.csv", "--split-by", "who", "--without", "part,day", *TINY, "--out", "g", cwd=folder)


def test_a_sweep_says_its_split_keeps_it_and_goes_on_with_it(folder, grouped):
    said = "each group of column 'who' whole: 120 rows (24 groups) for training, 40 rows (8 groups) for validation"
    assert said in grouped.stderr
    assert "on 40 rows of 8 groups" in grouped.stdout
    study = Study.load(folder / "g")
    assert (study.division.group_column, study.division.groups) == ("who", (24, 8, 8))
    with chdir(folder):
        assert study.load_problem().division == study.division
    kept = json.loads((folder / "g" / "data.json").read_text())
    assert any(said in note for note in kept["notes"])
    assert [column["became"] for column in kept["columns"] if column["column"] == "who"] == ["groups of the split"]
    before = study.results.drop("machine")
    (folder / "g" / "results" / "chunk-00000.parquet").unlink()
    again = ["sweep", "all.csv", "--split-by", "who", "--without", "part,day", *TINY, "--out", "g"]
    answer(*again, cwd=folder)
    assert Study.load(folder / "g").results.drop("machine").equals(before)
    assert "split_by who there, None here" in refusal(
        "sweep", "all.csv", "--without", "part,day,who", *TINY, "--out", "g", cwd=folder
    )


def test_the_reduction_and_the_page_say_what_the_certificate_is_about(folder, grouped):
    told = json.loads(answer("reduce", "g", "--json", cwd=folder).stdout)["certificate"]
    assert (told["groups"], told["dealt"], told["probability"]) == (8, "random", pytest.approx(1 / 9))
    for lang, of_split, of_chance in (
        ("en", "Each group of the column who is whole in one part: 24 groups", "a new group of the same kind"),
        (
            "ja",
            "列 who の各グループは、必ず 1 つの用途にまとめました（訓練 24",
            "これらの行は 8 個のグループに属します",
        ),
    ):
        answer("report", "g", "--lang", lang, "--out", f"{lang}.html", cwd=folder)
        page = (folder / f"{lang}.html").read_text("utf-8")
        assert of_split in page
        assert of_chance in page


def test_a_saved_network_is_reduced_on_the_split_of_its_study(folder, grouped):
    arguments = ["reduce", "g/weights/run-00000-best.safetensors", "--data", "all.csv", "--json"]
    told = json.loads(answer(*arguments, cwd=folder).stdout)["certificate"]
    assert (told["rows"], told["groups"]) == (40, 8)


def test_files_of_ones_own_are_the_held_out_rows_of_a_study(folder):
    files = ["--validation", "validation.csv", "--test", "test.csv"]
    answer("train", "train.csv", *files, *TINY[:-2], "--gain", "1", "--out", "f", cwd=folder)
    study = Study.load(folder / "f")
    assert study.rows == {"train": 120, "validation": 40, "test": 40}
    assert study.division.dealt == "own"
    network = ["reduce", "f/weights/run-00000-best.safetensors", "--data", "train.csv"]
    assert "These rows were given, not drawn at random here" in answer(*network, cwd=folder).stdout
    pl.read_csv(folder / "test.csv")[:39].write_csv(folder / "test.csv")
    again = refusal("train", "train.csv", *files, *TINY[:-2], "--gain", "1", "--out", "f", cwd=folder)
    assert "the data of 'train.csv' have changed since" in again


def test_a_forecast_says_its_split(folder):
    arguments = ["--split-by-time", "day", "--without", "who,part", "--target", "y", "--hidden", "3", "--gains", "0.1"]
    told = answer("forecast", "all.csv", *arguments, "--budget", "60", "--json", cwd=folder)
    assert "split by time, of column 'day': 120 rows (0 to 119) for training" in json.loads(told.stdout)["notes"][0]


def test_a_file_is_looked_at_with_its_split(folder):
    said = answer("problems", "all.csv", "--split", "part", "--without", "who,day", "--target", "y", cwd=folder).stdout
    assert "split as column 'part' says: 120 rows for training, 40 rows for validation and 40 rows for test" in said


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--validation", "validation.csv", "--validation-fraction", "0.3"], "--validation gives the rows of a file,"),
        (["--test", "0.3"], "--test is '0.3'; it takes a file, and --test-fraction a share of the rows."),
        (["--test", "absent.csv"], "There is no file absent.csv; check the path."),
        (["--test", "-"], "are not read from standard input; name a file."),
        (["--split", "x"], "as --split it must say train, validation or test in every row."),
        (["--split-by", "whom"], "There is no column for --split-by 'whom'; the data have columns 'x', 'z', 'y'."),
        (["--validation-fraction", "1.3"], "--validation-fraction is 1.3; it must be less than 1.0."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags_that_cannot_be_are_refused(folder, flags, says):
    assert says in refusal("sweep", "train.csv", *flags, *TINY, "--out", "none", cwd=folder)
    assert not (folder / "none").exists()
