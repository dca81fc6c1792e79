"""The code of the pages on PyTorch runs and prints what they say (`make test-extras`)."""

import pytest

from tests.docs.blocks import OF_TORCH, run_blocks

for extra in ("torch", "torch_pruning", "onnxscript"):
    pytest.importorskip(extra)
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize("page", OF_TORCH, ids=lambda page: page.stem)
def test_every_code_block_of_the_page_runs_and_prints_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_blocks(page) > 5
