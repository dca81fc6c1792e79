"""What is measured, what is taken from the folder, and the page that shows it."""

import json
from pathlib import Path

import pytest

from nucleate import NucleateError, SpecError, reproduce
from nucleate.experiments import reproduce_all, reproduction
from tests.experiments.planted import Planted


@pytest.fixture
def planted(monkeypatch):
    """Two experiments in place of the real ones: the first holds, the second does not."""
    both = [Planted(1.0, 0.5, name="true"), Planted(0.25, 0.5, name="false")]
    monkeypatch.setattr(reproduction, "EXPERIMENTS", tuple(one.experiment for one in both))
    return both


def test_all_writes_a_page_with_every_figure_claim_and_number(planted, tmp_path):
    verdicts = reproduce_all(out=tmp_path / "new" / "folder", quick=True)
    assert [verdict.holds for verdict in verdicts] == [True, False]
    page = (tmp_path / "new" / "folder" / "index.html").read_text()
    assert "1 of 2 claims hold" in page
    assert page.count("data:image/svg+xml;base64,") == 2
    assert "does not hold" in page
    assert "0.25" in page
    # What is not ours to mark up is escaped.
    assert "&lt;b&gt;Bold&lt;/b&gt; claims &amp; others" in page
    assert "<b>Bold" not in page
    # It opens from disk without a network.
    assert "http" not in page.replace("http-equiv", "")


def test_finished_experiments_are_not_measured_again_but_for_another_size(planted, tmp_path):
    reproduce_all(out=tmp_path, quick=True)
    (tmp_path / "false.json").unlink()
    again = reproduce_all(out=tmp_path, quick=True)
    assert [one.measured for one in planted] == [1, 2]
    assert [verdict.holds for verdict in again] == [True, False]
    reproduce_all(out=tmp_path, quick=False)
    assert [one.measured for one in planted] == [2, 3]
    assert json.loads((tmp_path / "true.json").read_text())["quick"] is False


def test_interrupted_it_keeps_what_is_finished(planted, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    second = planted[1].experiment
    object.__setattr__(second, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reproduce_all(out=tmp_path, quick=True)
    object.__setattr__(second, "measure", planted[1].measure)
    reproduce_all(out=tmp_path, quick=True)
    assert [one.measured for one in planted] == [1, 1]


def test_an_experiment_of_ones_own_is_run_like_the_others(tmp_path):
    own = Planted(1.0, 0.5, name="own")
    verdict = reproduce(own.experiment, out=tmp_path, quick=True)
    assert verdict.holds
    assert verdict.figure == tmp_path / "own.svg"


def test_what_a_user_can_mend():
    with pytest.raises(SpecError, match=r"no experiment 'blowup'; did you mean 'blow-up'\? There are .*escape-law"):
        reproduce("blowup", out=".")
    with pytest.raises(SpecError, match=r"no experiment 'zzz'\. There are target-direction"):
        reproduce("zzz", out=".")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NucleateError, match="file cannot be made"):
        reproduce("blow-up", out=tmp_path / "file")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no folder in which nobody may write")
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(planted):
    with pytest.raises(NucleateError, match=r"/proc/self cannot be written"):
        reproduce_all(out="/proc/self", quick=True)
    assert [one.measured for one in planted] == [0, 0]
