"""The examples run as a reader runs them, use only what is public, and find what they say."""

import io
import re
import runpy
import sys
from contextlib import chdir, redirect_stdout
from pathlib import Path

import onnxruntime
import pytest

from tests.docs.blocks import same

pytestmark = pytest.mark.slow

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def run(name, folder):
    script = next(path for path in EXAMPLES if path.stem == name)
    with chdir(folder), redirect_stdout(io.StringIO()) as printed, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(script)])
        runpy.run_path(str(script), run_name="__main__")
    return printed.getvalue()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_uses_only_public_names(example):
    text = example.read_text("utf-8")
    assert len(text.splitlines()) < 80
    assert not re.search(r"nucleate[\w.]*\._|import _", text)


def test_own_activation_finds_its_neurons_on_the_axes_forecast(tmp_path):
    printed = run("own_activation", tmp_path)
    forecast, measured = (
        [float(angle) for angle in re.search(rf"{which}.*?:([ \d.]+)degrees", printed)[1].split()]
        for which in ("axes forecast", "axes of three")
    )
    assert len(forecast) == 3
    assert measured == pytest.approx(forecast, abs=10)
    assert (tmp_path / "own_activation.png").stat().st_size > 10_000


def test_own_dynamics_leaves_its_plateau_when_its_leading_part_blows_up(tmp_path):
    printed = run("own_dynamics", tmp_path)
    steps = [(int(blowup), int(found)) for blowup, found in re.findall(r"step (\d+), .* at (\d+),", printed)]
    assert len(steps) == 4
    assert all(found == pytest.approx(blowup, rel=0.05) for blowup, found in steps[1:])
    assert "largest neuron has 100%" in printed
    assert (tmp_path / "own_dynamics.png").stat().st_size > 10_000


def test_own_attention_prints_and_is_what_its_tutorial_shows(tmp_path):
    printed = run("own_attention", tmp_path)
    measured = re.findall(r"(\d+) \[(\d+), (\d+)\], measured (\d+), regime True", printed)
    assert len(measured) == 3
    assert all(int(lower) <= int(step) <= int(upper) for _, lower, upper, step in measured)
    # At a third of the scale nine times as long and more, for the leading part is of degree four.
    assert int(measured[2][3]) > 9 * int(measured[0][3])
    assert (tmp_path / "own_attention.png").stat().st_size > 10_000
    page = (EXAMPLES[0].parents[1] / "docs" / "tutorial-attention.md").read_text("utf-8")
    example = next(path for path in EXAMPLES if path.stem == "own_attention").read_text("utf-8")
    for block in re.findall(r"^```py\n(.*?)^```$", page, flags=re.M | re.S):
        assert block.strip() in example or block.startswith("study = nucleate.sweep(problem, model=make,")
    assert same("".join(re.findall(r"^```txt\n(.*?)^```$", page, flags=re.M | re.S)), printed)


def test_own_data_ends_with_a_small_network_that_runs_and_a_page(tmp_path):
    printed = run("own_data", tmp_path)
    before, after = re.search(r"(\d+) parameters become (\d+)", printed).groups()
    assert int(after) < int(before) / 10
    (number,) = onnxruntime.InferenceSession(tmp_path / "own_data" / "small.onnx").get_inputs()
    assert number.shape[1] == 10
    assert (tmp_path / "own_data" / "report.html").stat().st_size > 100_000
