"""Files of all four types, as people and programs write them."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nucleate import DataError
from nucleate.problems.reading import read_table

PLAIN = pl.DataFrame({"a": [1, 2], "b": [0.5, -3e-7], "c": ["x", "y"]})


@pytest.fixture
def read(tmp_path):
    def read(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_table(path)[0]

    return read


@pytest.mark.parametrize(
    "text",
    [
        "a,b,c\n1,0.5,x\n2,-3e-7,y\n",
        "\ufeffa,b,c\n1,0.5,x\n2,-3e-7,y\n",
        "a,b,c\r\n1,0.5,x\r\n2,-3e-7,y",
        "a, b, c\n1, 0.5, x\n2, -3e-7, y\n",
        '"a","b","c"\n"1","0.5","x"\n2,-3e-7,"y"\n',
        "a;b;c\n1;0.5;x\n2;-3e-7;y\n",
        "a;b;c\n1;0,5;x\n2;-3e-7;y\n",
        "\na,b,c\n\n1,0.5,x\n,,\n2,-3e-7,y\n\n\n",
    ],
    ids=["plain", "byte-order mark", "crlf", "spaces", "quotes", "semicolons", "decimal commas", "blank lines"],
)
def test_csv_as_people_write_it(read, text):
    assert_frame_equal(read(text), PLAIN)


def test_tsv_is_separated_by_tabs(read):
    assert_frame_equal(read("a\tb\tc\n1\t0.5\tx\n2\t-3e-7\ty\n", "data.TSV"), PLAIN)


def test_quoted_text_may_hold_separators_quotes_and_line_ends(read):
    table = read('"a,b;c;d","e"\n"Bern, old ""town""\nOslo",1\n')
    assert table.rows(named=True) == [{"a,b;c;d": 'Bern, old "town"\nOslo', "e": 1}]


@pytest.mark.parametrize("marker", ["", "NA", "N/A", "?", "NaN", "nan", "null", '"NA"', " ? "])
def test_missing_value_markers(read, marker):
    table = read(f"a,b,c\n1,x,true\n{marker},{marker},{marker}\n3,y,false\n")
    assert table.dtypes == [pl.Int64, pl.String, pl.Boolean]
    # A row of markers only is as good as a blank line.
    assert table.rows() == [(1, "x", True), (3, "y", False)]
    assert read(f"a,b\n1,x\n{marker},y\n")["a"].to_list() == [1, None]


def test_a_column_has_the_narrowest_type_that_holds_all_of_it(read):
    table = read("whole,number,truth,text,large,infinite\n1,1,True,1,1,1\n-2,1e3,FALSE,b,99999999999999999999,-inf\n")
    assert table.dtypes == [pl.Int64, pl.Float64, pl.Boolean, pl.String, pl.Float64, pl.Float64]


def test_parquet_and_npz(read, tmp_path):
    PLAIN.write_parquet(tmp_path / "data.parquet")
    assert_frame_equal(read_table(tmp_path / "data.parquet")[0], PLAIN)
    for x, y in (("x", "y"), ("X", "Y")):
        np.savez(tmp_path / "data.npz", **{x: np.eye(3), y: np.arange(3)})
        table, targets = read_table(tmp_path / "data.npz")
        assert table.columns == ["x1", "x2", "x3", "y"]
        assert targets == ("y",)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"There is no file .*prices\.csv; check the path"):
        read_table(tmp_path / "prices.csv")


@pytest.mark.parametrize("name", ["data.xlsx", "data", "data.csv.gz"])
def test_an_unknown_type_is_refused(read, name):
    with pytest.raises(DataError, match=r"is no file of a known type; expected \.csv, \.tsv, \.parquet or \.npz"):
        read("a,b\n1,2\n", name)


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "data.csv").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "data.csv")


@pytest.mark.parametrize("name", ["data.csv", "data.tsv", "data.parquet", "data.npz"])
@pytest.mark.parametrize("content", ["", " \n\n"])
def test_an_empty_file_is_refused(read, name, content):
    with pytest.raises(DataError, match="is empty; expected columns with a target"):
        read(content, name)


def test_a_file_without_rows_is_refused(read):
    with pytest.raises(DataError, match="has columns but no rows"):
        read("a,b\n")


@pytest.mark.parametrize("name", ["data.parquet", "data.npz"])
@pytest.mark.parametrize("content", [b"junk", b"PK\x03\x04 junk", b"PAR1 junk PAR1", b"\x93NUMPY junk"])
def test_a_file_that_is_not_what_its_name_says_is_refused(read, name, content):
    with pytest.raises(DataError, match=r"is no readable (Parquet|npz) file \(.*\); write it again"):
        read(content, name)


def test_a_truncated_file_is_refused(read, tmp_path):
    np.savez_compressed(tmp_path / "whole.npz", x=np.random.default_rng(0).random((50, 3)), y=np.arange(50))
    PLAIN.write_parquet(tmp_path / "whole.parquet")
    for name in ("whole.npz", "whole.parquet"):
        content = (tmp_path / name).read_bytes()
        for end in (5, len(content) // 2, len(content) - 1):
            with pytest.raises(DataError, match="is no readable"):
                read(content[:end], name)


def test_a_damaged_npz_is_refused(read, tmp_path):
    np.savez_compressed(tmp_path / "whole.npz", x=np.random.default_rng(0).random((50, 3)), y=np.arange(50))
    content = bytearray((tmp_path / "whole.npz").read_bytes())
    content[200:260] = bytes(60)
    with pytest.raises(DataError, match="is no readable npz file"):
        read(bytes(content), "damaged.npz")


def test_pickles_and_single_arrays_are_no_npz(read, tmp_path):
    np.savez(tmp_path / "objects.npz", x=np.array([[{}]], object), y=np.zeros(1))
    with pytest.raises(
        DataError, match=r"dtype object, .*; save it with .astype\(float\), or .astype\(str\) where all"
    ):
        read_table(tmp_path / "objects.npz")
    x = np.array([["left"], ["right"]], object)
    np.savez(tmp_path / "texts.npz", x=x.astype(str), y=np.zeros(2))
    assert read_table(tmp_path / "texts.npz")[0]["x1"].to_list() == ["left", "right"]
    np.save(tmp_path / "single.npy", np.eye(2))
    with pytest.raises(DataError, match="is no readable npz file"):
        read((tmp_path / "single.npy").read_bytes(), "single.npz")


def test_an_npz_without_x_and_y_is_refused(tmp_path):
    np.savez(tmp_path / "data.npz", inputs=np.eye(3), y=np.arange(3))
    with pytest.raises(DataError, match=r"has the arrays inputs, y; expected x, of shape \(rows, columns\), and y"):
        read_table(tmp_path / "data.npz")


def test_an_npz_whose_shapes_do_not_fit_is_refused(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.eye(3), y=np.arange(4))
    with pytest.raises(DataError, match=r"x has shape \(3, 3\) and y \(4,\); they need the same number of rows"):
        read_table(tmp_path / "data.npz")


def test_text_that_is_not_utf_8_is_refused(read):
    with pytest.raises(DataError, match=r"is no UTF-8 text \(at byte 7\); save it as CSV UTF-8"):
        read("a,b\n1,é\n".encode("latin-1"))


def test_rows_longer_than_the_header_are_refused(read):
    with pytest.raises(DataError, match=r"is no readable CSV file \(found more fields"):
        read("a,b\n1,2\n1,2,3\n")


def test_names_given_twice_are_refused(read):
    with pytest.raises(DataError, match="has column 'a' more than once; give each column its own name"):
        read("a,b,a\n1,2,3\n")


def test_a_column_without_a_name_is_refused(read):
    with pytest.raises(
        DataError, match=r"Column 1 of .* has no name\. Name it .* or delete it if it only numbers the rows"
    ):
        read(",b\n0,2\n1,3\n")


def test_a_file_without_a_header_is_refused(read):
    with pytest.raises(DataError, match=r"first line of .* holds the number 5\.1; add a header line"):
        read("5.1,3.5,setosa\n4.9,3.0,setosa\n")
