"""Where data lie: single files, folders and patterns of like files, standard input; and what is no text."""

import gzip
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nucleate import DataError
from nucleate.problems import Problem, load_problem
from nucleate.tables import Form
from nucleate.tables.reading import read_table

from .workbooks import workbook


def write(folder, **files):
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content.encode() if isinstance(content, str) else content)


def test_the_files_of_a_folder_follow_each_other_in_natural_order(tmp_path):
    write(tmp_path, day10_csv="a,b\n10,1\n", day2_csv="b,a\n5,2\n6,3\n", notes_md="x")
    read = read_table(tmp_path)
    assert read.table.to_dict(as_series=False) == {"b": [5, 6, 1], "a": [2, 3, 10]}
    assert read.notes == (f"Read 2 files of {tmp_path} in this order: day2.csv, day10.csv; 1 other left out.",)


def test_columns_are_typed_over_all_files_together(tmp_path):
    write(tmp_path, a_csv="a,b\n1,x\n", b_csv="a,b\n-,1\n", c_csv="a,b\n0.5,y\n")
    read = read_table(tmp_path / "*.csv")
    assert read.table.to_dict(as_series=False) == {"a": [1.0, None, 0.5], "b": ["x", "1", "y"]}
    assert "Column 'a' has '-' in row 2, read as missing." in read.notes


@pytest.mark.parametrize("ending", ["xlsx", "parquet", "csv.gz"])
def test_like_files_of_every_type_go_together(tmp_path, ending):
    table = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    for name in ("one", "two"):
        match ending:
            case "xlsx":
                (tmp_path / f"{name}.xlsx").write_bytes(workbook({"S": [["a", "b"], [1, "x"], [2, "y"]]}))
            case "parquet":
                table.write_parquet(tmp_path / f"{name}.parquet")
            case "csv.gz":
                (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress(table.write_csv().encode()))
    assert read_table(tmp_path).table.rows() == table.rows() * 2


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"d1_csv": "a,b\n1,2\n", "d2_csv": "a,c\n1,2\n"}, r"d2\.csv has no column 'b' but has 'c', unlike .*d1\.csv"),
        ({"d1_csv": "a,b\n1,2\n", "d2_csv": "a\n1\n"}, r"d2\.csv has no column 'b', unlike .*d1\.csv"),
        ({"d1_csv": "a,b\n1,2\n", "d2_csv": "a,b,c\n1,2,3\n"}, r"d2\.csv has a column 'c' more, unlike .*d1\.csv"),
        ({"d1_csv": "a,b\n1,2\n", "d2_csv": ""}, r"d2\.csv is empty"),
        ({"d1_csv": "a,b\n1,2\n", "d2_txt": "a b\n1 2\n"}, r"several types \(\.csv, \.txt\); name those .*\*\.csv"),
        ({"notes_md": "x"}, r"has no file of a known type; expected \.csv"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, files, says):
    write(tmp_path, **files)
    with pytest.raises(DataError, match=says):
        read_table(tmp_path)


def test_parquet_files_of_other_types_are_refused(tmp_path):
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"a": ["1"]}).write_parquet(tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"'a' of .*2\.parquet holds String, and that of .*1\.parquet Int64"):
        read_table(tmp_path)


def test_a_problem_is_named_after_its_file_folder_or_pattern(tmp_path):
    text = "a,y\n" + "".join(f"{k},{k * k / 7}\n" for k in range(20))
    (tmp_path / "days").mkdir()
    write(tmp_path / "days", run1_csv=text, run2_csv=text)
    assert load_problem(tmp_path / "days" / "run1.csv").name == "run1"
    for data, name in (
        (tmp_path / "days", "days"),
        (f"{tmp_path}/days/run*.csv", "run"),
        (f"{tmp_path}/days/*", "days"),
    ):
        problem = load_problem(data)
        assert (problem.name, len(problem.train.x)) == (name, 24)


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path):
    write(tmp_path, **{"a[1]_csv": "a,b\n1,2\n"})
    assert read_table(tmp_path / "a[1].csv").table.rows() == [(1, 2)]


def test_standard_input_is_text(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x;y\n1,5;2\n")))
    assert read_table(Path("-")).table.rows() == [(1.5, 2)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (workbook({"S": [["a", "b"], [1, 2]]}), r"is not text, it begins as a zip archive or an \.xlsx file does"),
        (b"PAR1 junk", r"begins as a \.parquet file"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), r"begins as a \.gz file"),
        (b"%PDF-1.7", r"begins as a \.pdf file"),
        (b"\xd0\xcf\x11\xe0 junk", r"begins as an old \.xls file"),
        (b"\x00\x01\x02\x03 junk,\n", "has zero bytes, as text never has"),
        (b"a,b\n1,\x00\n", "has zero bytes, as text never has"),
    ],
)
def test_what_is_no_text_is_not_read_as_text(tmp_path, content, says):
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_table(tmp_path / "data.csv")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("a\0b.csv", r"The path 'a\\x00b\.csv' has a character that no path has"),
        ("x" * 300 + ".csv", "cannot be read"),
        ("x" * 300, "There is no problem named"),
        ("\udcff.csv", "There is no file"),
        ("nothing*", "The pattern nothing\\* has no file of a known type"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path, says):
    with pytest.raises(DataError, match=says):
        load_problem(path)


def test_a_path_that_is_not_utf_8_is_read(tmp_path):
    path = tmp_path / "\udcff.csv"
    path.write_text("a,b\n1,2\n")
    assert read_table(path).table.rows() == [(1, 2)]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("data.csv", {"sheet": "S"}),
        ("data.xlsx", {"encoding": "cp932"}),
        ("data.npz", {"decimal": ","}),
        ("data.parquet", {"dates": "day-first"}),
    ],
)
def test_what_says_nothing_of_a_file_is_refused(tmp_path, name, form):
    (tmp_path / name).write_bytes(b"any")
    with pytest.raises(DataError, match=f"'{next(iter(form))}' says nothing of .*{name}.*; leave it out"):
        read_table(tmp_path / name, Form(**form))


def test_an_encrypted_npz_is_refused(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.eye(3), y=np.ones(3))
    content = bytearray((tmp_path / "data.npz").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + place] |= 1
            at = content.find(mark, at + 1)
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"data\.npz.*encrypted"):
        read_table(tmp_path / "data.npz")


@pytest.mark.parametrize("shape", [(10**12, 3), (10**30, 3)])
def test_an_npz_that_declares_more_than_it_holds_is_refused_before_memory_is_taken(tmp_path, shape):
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        for name in "xy":
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
            archive.writestr(f"{name}.npy", header.getvalue() + bytes(80))
    with pytest.raises(DataError, match=r"declares the array x of shape \(10+, 3\), which is more than it holds"):
        read_table(tmp_path / "data.npz")


def test_what_is_masked_is_missing():
    x = np.ma.masked_array(np.arange(40.0).reshape(20, 2), mask=False)
    y = np.arange(20) / 3
    whole = Problem.from_arrays(x, y)
    x[3, 1] = np.ma.masked
    with pytest.raises(DataError, match=r"Input column 'x2' has 1 missing value \(row 4\)"):
        Problem.from_arrays(x, y)
    assert len(Problem.from_arrays(x, y, drop_missing=True).train.x) < len(whole.train.x)
    with pytest.raises(DataError, match=r"Target column 'y' has 1 missing value \(row 1\)"):
        Problem.from_arrays(x.data, np.ma.masked_less(y, 0.1))


@pytest.mark.parametrize("dtype", [complex, "V8", [("a", "f8")]])
def test_arrays_of_neither_numbers_nor_texts_are_refused(dtype):
    with pytest.raises(DataError, match=r"The inputs have the dtype .*; give numbers, truth values, texts or dates"):
        Problem.from_arrays(np.zeros((20, 1), dtype), np.arange(20))


def test_times_in_parquet_are_hours_and_nested_columns_are_refused(tmp_path):
    times = pl.Series("at", ["06:30:00", None]).str.to_time()
    pl.DataFrame({"at": times, "lasts": [pl.Series([90]).cast(pl.Duration("ms"))[0], None], "y": [1, 2]}).write_parquet(
        tmp_path / "data.parquet"
    )
    read = read_table(tmp_path / "data.parquet")
    assert read.table["at"].to_list() == [6.5, None]
    assert "Column 'at' has times, read as hours." in read.notes
    pl.DataFrame({"a": [[1], [2, 3]] * 10, "y": range(20)}).write_parquet(tmp_path / "data.parquet")
    with pytest.raises(DataError, match=r"'a' holds values of type List\(Int64\); turn it into numbers or text"):
        load_problem(tmp_path / "data.parquet")


@pytest.mark.parametrize("ending", ["csv.gz", "xlsx", "parquet"])
def test_a_small_file_that_unpacks_to_more_than_fits_the_memory_is_refused(tmp_path, monkeypatch, ending):
    table, path = pl.DataFrame({"a": [0] * 20_000, "b": [1] * 20_000}), tmp_path / f"data.{ending}"
    match ending:
        case "csv.gz":
            path.write_bytes(gzip.compress(table.write_csv().encode()))
        case "xlsx":
            path.write_bytes(workbook({"S": [table.columns, *table.rows()]}))
        case "parquet":
            table.write_parquet(path)
    assert read_table(path).table.height == 20_000
    monkeypatch.setattr("nucleate.tables.files.MOST_UNPACKED", 50_000)
    with pytest.raises(
        DataError, match=r"data\..* unpacks to more than .* GiB, a quarter of the memory.* take fewer rows"
    ):
        read_table(path)
