"""`nucleate reproduce`: what it prints, writes and refuses."""

import json

import pytest

from nucleate.experiments import EXPERIMENTS
from nucleate.experiments import reproduction as verb
from tests.cli.asking import ask, refusal
from tests.experiments.planted import Planted


def run(*arguments):
    return ask("reproduce", *arguments)


@pytest.fixture
def planted(monkeypatch):
    """One experiment in place of the real ones."""
    one = Planted(0.25, 0.5)
    monkeypatch.setattr(verb, "EXPERIMENTS", (one.experiment,))
    return one


def test_list_names_every_experiment_with_its_claim_and_source():
    listed = json.loads(run("list", "--json").stdout)["experiments"]
    assert [row["name"] for row in listed] == [experiment.name for experiment in EXPERIMENTS]
    text = run("list").stdout
    assert all(row["claim"] in text and row["source"] in text for row in listed)
    assert "200 Gaussian states" in listed[2]["quick"]
    assert "1000 Gaussian states" in listed[2]["full"]
    assert listed[2]["criteria"][0]["threshold"] == 1.0


def test_all_prints_verdicts_and_the_path_of_the_page(planted, tmp_path):
    result = run("all", "--quick", "--out", tmp_path)
    assert result.exit_code == 0
    assert "planted: does not hold" in result.stdout
    assert "first: 0.25 (at least 1: not met)" in result.stdout
    assert result.stdout.splitlines()[-1] == str(tmp_path / "index.html")
    assert (tmp_path / "index.html").exists()


def test_as_json_it_is_one_object(planted, tmp_path):
    answer = json.loads(run("all", "--quick", "--json", "--out", tmp_path).stdout)
    assert answer["verdicts"][0]["findings"][0] == {
        "quantity": "first", "relation": "at least", "threshold": 1.0, "number": 0.25, "holds": False
    }  # fmt: skip
    assert answer["files"] == [str(tmp_path / "index.html")]


def test_interrupted_it_says_how_to_go_on(planted, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    object.__setattr__(planted.experiment, "measure", interrupt)
    (tmp_path / "verdict-of-another.json").write_text("{}")
    result = run("all", "--out", tmp_path)
    assert result.exit_code == 130
    assert "The same command goes on from there" in result.stderr


def test_an_unknown_name_is_one_line(tmp_path):
    assert "no experiment 'blowup'; did you mean 'blow-up'?" in refusal("reproduce", "blowup", cwd=tmp_path)
    assert not (tmp_path / "nucleate-reproduce").exists()
