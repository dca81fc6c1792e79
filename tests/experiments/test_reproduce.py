"""What is measured, what is taken from the folder, and the page that shows it."""

import dataclasses
import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from nucleate import NucleateError, SpecError, reproduce
from nucleate.experiments import Criterion, Measurement, experiment, reproduce_all, reproduction
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


def test_each_verdict_is_told_before_the_next_is_measured(planted, tmp_path):
    told = []
    verdicts = reproduce_all(
        out=tmp_path, quick=True, told=lambda verdict: told.append((verdict, [one.measured for one in planted]))
    )
    assert told == [(verdicts[0], [1, 0]), (verdicts[1], [1, 1])]


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


def test_interrupted_between_figure_and_verdict_no_size_has_the_figure_of_another(planted, tmp_path, monkeypatch):
    reproduce_all(out=tmp_path, quick=False)
    full = (tmp_path / "true.svg").read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "write_json", interrupted)
        with pytest.raises(KeyboardInterrupt):
            reproduce_all(out=tmp_path, quick=True)
    assert (tmp_path / "true.svg").read_bytes() != full
    reproduce_all(out=tmp_path, quick=False)
    assert (tmp_path / "true.svg").read_bytes() == full
    assert [one.measured for one in planted] == [3, 1]


def test_two_processes_of_different_sizes_make_no_page_of_both(planted, tmp_path):
    def beside(verdict):
        if verdict.name == "false":
            reproduce(planted[0].experiment, out=tmp_path, quick=False, progress=False)

    with pytest.raises(NucleateError, match=r"was written by another process meanwhile.*run the same command again"):
        reproduce_all(out=tmp_path, quick=True, told=beside)
    assert not (tmp_path / "index.html").exists()
    reproduce_all(out=tmp_path, quick=True)
    assert "at the quick size" in (tmp_path / "index.html").read_text()


def test_an_experiment_of_ones_own_is_run_like_the_others(tmp_path):
    own = Planted(1.0, 0.5, name="own")
    verdict = reproduce(own.experiment, out=tmp_path, quick=True)
    assert verdict.holds
    assert verdict.figure == tmp_path / "own.svg"


def test_what_a_user_can_mend():
    with pytest.raises(SpecError, match=r"no experiment 'blowup'; did you mean 'blow-up'\? Choose one of .*escape-law"):
        reproduce("blowup", out=".")
    with pytest.raises(SpecError, match=r"no experiment 'zzz'; choose one of target-direction"):
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


def changed(experiment, **fields):
    return dataclasses.replace(experiment, **fields)


def test_another_measurement_of_the_same_name_is_measured_again(tmp_path):
    def measuring(number):
        return lambda size, progress: Measurement((number, 0.0), Figure())

    own = [changed(Planted(1.0, 0.5, name="own").experiment, measure=measuring(number)) for number in (1.0, 0.25, 0.25)]
    numbers = [reproduce(one, out=tmp_path, quick=True, progress=False).findings[0].number for one in own]
    assert numbers == [1.0, 0.25, 0.25]
    stamp = (tmp_path / "own.json").stat().st_mtime_ns
    assert reproduce(own[2], out=tmp_path, quick=True, progress=False).findings[0].number == 0.25
    assert (tmp_path / "own.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"criteria": ()}, "The experiment 'planted' has no criteria, so nothing decides it; give it one"),
        ({"criteria": ("rank",)}, "criteria of the experiment 'planted' must be a tuple of Criterion objects"),
        ({"name": "my/own"}, "An experiment's name is 'my/own', but files are named by it; use letters"),
        ({"name": ".."}, "An experiment's name is '..', but"),
        ({"name": ""}, "An experiment's name is '', but"),
        ({"measure": 3.0}, "What the experiment 'planted' measures is 3.0; give measure"),
        (
            {"setting": "{rows} rows"},
            r"The setting '{rows} rows' .* cannot be filled in from .*KeyError: 'rows'\); give",
        ),
        ({"quick": 3}, r"cannot be filled in from 3 .*; give sizes that are NamedTuples with its fields"),
    ],
)
def test_an_experiment_is_checked_where_it_is_made(fields, sentence):
    with pytest.raises(SpecError, match=sentence):
        changed(Planted(1.0, 0.5).experiment, **fields)


@pytest.mark.parametrize("relation", ["at leats", "<", "", None])
def test_a_criterion_has_one_of_two_relations(relation):
    with pytest.raises(
        SpecError, match=r"The criterion 'rank' has the relation .*; it must be 'at least' or 'at most'\."
    ):
        Criterion("rank", relation, 1.0)


@pytest.mark.parametrize("quantity", [None, "", 3])
def test_a_criterion_says_what_is_measured(quantity):
    with pytest.raises(SpecError, match=rf"The quantity of a criterion is {quantity!r}; give a text that says what is"):
        Criterion(quantity, "at most", 1.0)


def test_one_of_ones_own_has_not_the_name_of_one_of_the_package(tmp_path):
    own = Planted(1.0, 0.5, name="blow-up").experiment
    with pytest.raises(
        SpecError, match="The experiment 'blow-up' is one of your own and has the name of one of the pa"
    ):
        reproduce(own, out=tmp_path, quick=True, progress=False)
    assert not list(tmp_path.iterdir())


def test_what_could_not_be_computed_is_not_said_to_be_wrong(monkeypatch, tmp_path):
    lost = Planted(float("nan"), 0.5, name="lost")
    monkeypatch.setattr(reproduction, "EXPERIMENTS", (lost.experiment,))
    for _ in range(2):
        (verdict,) = reproduce_all(out=tmp_path, quick=True, progress=False)
        assert str(verdict).startswith("lost could not be computed: first: nan (at least 1: could not be computed)")
    assert lost.measured == 1
    page = (tmp_path / "index.html").read_text()
    assert page.count("could not be computed") == 3
    assert "does not hold</span>" not in page
    assert json.loads((tmp_path / "lost.json").read_text())["holds"] is None


@pytest.mark.parametrize("threshold", [float("nan"), "1", None])
def test_a_threshold_is_a_number(threshold):
    with pytest.raises(SpecError, match=r"The criterion 'rank' has the threshold .*; it must be a number, not NaN\."):
        Criterion("rank", "at most", threshold)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "returned NoneType"),
        ((1.0, 0.5), "returned tuple"),
        (Measurement((1.0, 0.5), None), "returned NoneType as its figure"),
        (Measurement(1.0, Figure()), r"returned 1\.0 as its numbers"),
        (Measurement(("a", 0.5), Figure()), r"returned \('a', 0\.5\) as its numbers"),
    ],
)
def test_what_is_no_measurement_is_one_sentence(given, said, tmp_path):
    own = changed(Planted(1.0, 0.5, name="own").experiment, measure=lambda size, progress: given)
    with pytest.raises(SpecError, match=rf"The measure of the experiment 'own' {said}; return Measurement\("):
        reproduce(own, out=tmp_path, quick=True, progress=False)
    assert not list(tmp_path.iterdir())
