"""What the page says of the stairs of the loss behind the first descent."""

import re

import numpy as np
import pytest
from markupsafe import escape

import nucleate
from nucleate.reporting.expected import say_stairs
from nucleate.reporting.words import load_texts
from nucleate.studies import study_findings
from nucleate.sweeping.forecasts import stairs_of

pytestmark = pytest.mark.slow

GRID = {"epsilons": [0.001], "hidden": [10], "lrs": [0.1], "steps": 600, "evaluations": 10, "progress": False}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 3))
    # Targets of variance 1 each, of which one direction is three times as strong as the other.
    problem = nucleate.Problem.from_arrays(x, x[:, :1] + 0.3 * x[:, 1:2] * [1, -1])
    return nucleate.sweep(problem, out=tmp_path_factory.mktemp("stairs") / "study", **GRID)


def test_stairs_are_said_with_their_steps_in_both_languages(study):
    stairs = stairs_of(study, 0)
    assert len(stairs) == 2
    for lang, pattern in (
        ("en", r"stair (\d) from step (?:about )?(\d+)"),
        ("ja", r"(\d) 段目はステップ (?:約 )?(\d+)"),
    ):
        said = say_stairs(study_findings(study), load_texts(lang))
        found = [(int(place), int(step)) for place, step in re.findall(pattern, said)]
        assert found == [(place, stair.begins.estimate) for place, stair in enumerate(stairs, 1)]
        begins = stairs[0].begins
        assert (f"[{begins.lower}, {begins.upper}]" in said) is stairs[0].in_regime


def test_the_page_says_them(study, tmp_path):
    for lang in ("en", "ja"):
        page = nucleate.report(study, lang, out=tmp_path / f"{lang}.html").read_text("utf-8")
        assert f"<p>{escape(say_stairs(study_findings(study), load_texts(lang)))}</p>" in page


def test_where_the_linear_part_makes_one_descent_nothing_is_said(tmp_path):
    study = nucleate.sweep("diabetes", out=tmp_path / "study", **GRID | {"steps": 10})
    assert stairs_of(study, 0) == ()
    assert say_stairs(study_findings(study), load_texts("en")) is None
