"""`nucleate doctor`: findings in words, or as JSON with stable names; what it takes and refuses."""

import json

import pytest

from .asking import ask, refusal

SMALL = ["--hidden", "20,20", "--steps", "60", "--evaluations", "6", "--out"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor") / "run"
    answer = ask("doctor", "diabetes", "--gain", "0.0001", *SMALL, folder, "--no-try", "--json")
    assert answer.exit_code == 0, answer.stderr
    return folder, json.loads(answer.stdout)


def test_one_run_is_trained_and_its_findings_have_names_numbers_and_sentences(folder):
    first = folder[1]["findings"][0]
    assert first["verdict"] == "initial_plateau"
    assert first["evidence"]["steps"] == 60
    assert first["sentence"].startswith("The loss is still on its initial plateau after 60 steps.")
    assert first["remedies"][0]["setting"] == "gain"
    assert first["tried"] is None


def test_a_finished_study_is_taken_as_it_is_and_the_first_remedy_tried(folder):
    answer = ask("doctor", folder[0], "--run", "0")
    assert answer.exit_code == 0, answer.stderr
    title, first, *_ = answer.stdout.splitlines()
    assert title == "diabetes: initial_plateau"
    assert first.startswith("1. The loss is still on its initial plateau after 60 steps")
    assert "With " in first or "Tried without help: " in first


def test_what_does_not_go_together_is_refused(folder):
    said = refusal("doctor", folder[0], "--lr", "0.1")
    assert said == f"nucleate: The runs of the study {folder[0]} are trained already; leave out --lr.\n"
    assert "--run is the number of a run in a study folder" in refusal("doctor", "sine-5d", "--run", "0")
    assert "There is no finished run 3" in refusal("doctor", folder[0], "--run", "3")
