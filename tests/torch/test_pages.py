"""The pages for PyTorch's users run, and print what they say."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
from tests.docs.blocks import ROOT, run_blocks

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize("page", ["pytorch", "tutorial-pytorch"])
def test_the_code_of_the_page_runs_and_prints_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_blocks(ROOT / "docs" / f"{page}.md") > 5
