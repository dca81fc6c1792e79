import polars as pl
import pytest

from nucleate import sweep

EVIL = "<script>alert('x')</script>"
GRID = {"gains": [1.0, 0.1, 0.01], "lrs": [0.1, 0.05], "seeds": 2, "hidden": [12, 9], "steps": 60, "records": 10}


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A finished study of a table whose file and target have hostile names; at gain 0.01 it stays on its plateau."""
    folder = tmp_path_factory.mktemp("report")
    x = pl.int_range(90, eager=True)
    table = pl.DataFrame({"a": x % 7, "<b>&": x % 5, EVIL: (x % 7) * (x % 5) + 0.5})
    table.write_csv(folder / "<i>&.csv")
    return sweep(folder / "<i>&.csv", target=(EVIL,), out=folder / "study", progress=False, **GRID)
