"""Scales with a number for each layer, through everything that a study goes through."""

import json
from html import unescape

import numpy as np
import pytest

import nucleate
from nucleate.figures import loss_by_scale, phase_map
from nucleate.studies import study_findings
from tests.cli.asking import ask

pytestmark = pytest.mark.slow

GRID = {"gains": [1, "1x0.1x1"], "hidden": [6, 5], "steps": 150, "evaluations": 8, "lrs": [0.1]}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return nucleate.sweep("sine-5d", **GRID, out=tmp_path_factory.mktemp("study"), progress=False)


def test_the_tables_name_every_scale_by_text(study):
    assert study.results["gain"].to_list() == ["1", "1x0.1x1"]
    assert study.forecasts["gain"].to_list() == ["1", "1x0.1x1"]
    assert nucleate.summarize(study)["gain"].to_list() == ["1", "1x0.1x1"]
    assert [cell.scale for cell in study_findings(study).cells] == [1.0, (1.0, 0.1, 1.0)]


def test_a_run_is_that_of_a_network_made_by_hand(study):
    by_hand = nucleate.Network.create(
        5,
        [6, 5],
        1,
        scale=[nucleate.InitScale("gain", gain) for gain in (1, 0.1, 1)],
        bias=[True, False, False],
    )
    initial = study.network(1, "initial")
    for made, expected in zip(initial.weights, by_hand.weights, strict=True):
        np.testing.assert_array_equal(made, expected)
    run = nucleate.train(by_hand, study.load_problem(), learning_rate=0.1, steps=150, evaluations=8)
    assert run.trajectory["train_loss"][-1] == study.results["train_loss"][1]


def test_a_lost_chunk_is_made_again_to_the_same_bits(study):
    before = study.results
    (study.path / "results" / "chunk-00000.parquet").unlink()
    again = nucleate.sweep("sine-5d", **GRID, out=study.path, progress=False)
    assert again.results.equals(before)
    assert nucleate.Study.load(study.path).spec == study.spec


def test_the_page_and_the_figures_name_it(study, tmp_path):
    for lang, word in (("en", "one for each layer"), ("ja", "層ごとの値")):
        page = nucleate.report(study, out=tmp_path / "page.html", lang=lang).read_text("utf-8")
        assert "1x0.1x1" in page
        assert word in unescape(page)
    assert [label.get_text() for label in phase_map(study).axes[0].get_xticklabels()] == ["1x0.1x1", "1"]
    assert {text.get_text() for text in loss_by_scale(study).legends[0].get_texts()} == {"1", "1x0.1x1"}


def test_it_is_reduced_and_looked_ahead_of(study):
    assert nucleate.reduce_study(study, run=1, baselines=False).run == 1
    stuck = nucleate.sweep(
        "sine-5d", **GRID | {"gains": ["0.1x0.01x0.1"], "steps": 20}, out=study.path / "stuck", progress=False
    )
    (outlook,) = nucleate.sweeping.outlooks(stuck)
    larger = {remedy.value for remedy in outlook.remedies if remedy.setting == "gain"}
    assert larger <= {(0.3, 0.03, 0.3), (1.0, 0.1, 1.0)}


def test_commands_print_and_take_it(tmp_path):
    flags = ["--hidden", "5,4", "--steps", "12", "--evaluations", "4", "--json"]
    answer = ask("sweep", "sine-5d", "--fan-in-gammas", "1,1x2x1", *flags, cwd=tmp_path)
    assert answer.exit_code == 0, answer.stderr
    content = json.loads(answer.stdout)
    assert [row["fan_in_gamma"] for row in content["results"]] == ["1", "1x2x1"]
    assert {row["fan_in_gamma"] for row in content["cells"]} <= {1.0, "1x2x1"}
    answer = ask("train", "sine-5d", "--epsilon", "0.1x0.2x0.3", *flags[:-1], cwd=tmp_path)
    assert "sine-5d: epsilon 0.1x0.2x0.3, lr 0.05" in answer.stdout
    answer = ask("forecast", "sine-5d", "--gammas", "1x1.5x1", "--hidden", "20,20", "--budget", "4000", "--json")
    content = json.loads(answer.stdout)
    assert content["forecasts"][0]["gamma"] == "1x1.5x1"
    assert content["recommendation"]["scale"] == "1x1.5x1"
