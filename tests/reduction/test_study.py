"""A study's best run, reduced and kept with it."""

import shutil
from functools import partial

import numpy as np
import pytest

import nucleate
from nucleate import figures
from nucleate.exports import Session
from nucleate.exports.graph import raw_rows
from nucleate.reduction import FOLDER, load_reduction, reduce_study
from nucleate.studies import recommended_run, study_findings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return nucleate.sweep(
        "diabetes",
        gains=[1.0, 0.1],
        lrs=[0.1],
        hidden=[16, 16],
        steps=300,
        evaluations=10,
        out=tmp_path_factory.mktemp("study") / "study",
        progress=False,
    )


@pytest.fixture(scope="module")
def reduction(study):
    return reduce_study(study, tolerance=0.02, baselines=False)


def test_the_run_that_the_page_recommends_is_reduced(study, reduction):
    recommended = study_findings(study).recommended_run
    assert reduction.run == recommended_run(study) == recommended
    assert np.array_equal(reduction.original.weights[0], study.network(recommended, "best").weights[0])


def test_another_run_is_reduced_where_asked_for(study, tmp_path):
    copy = nucleate.Study.load(shutil.copytree(study.path, tmp_path / "study"))
    (other,) = {0, 1} - {recommended_run(study)}
    reduction = reduce_study(copy, tolerance=0.02, method="merge", run=other, baselines=False)
    assert reduction.run == load_reduction(copy.path / FOLDER).run == other
    assert np.array_equal(reduction.original.weights[0], study.network(other, "best").weights[0])
    with pytest.raises(nucleate.StudyError, match=r"No run 2 of .* has trained to its end; its runs are 0 to 1"):
        reduce_study(copy, run=2)


@pytest.mark.parametrize("run", [True, "0", 0.0])
def test_a_run_is_asked_for_by_its_number(study, run):
    asks = (
        partial(reduce_study, study, run=run),
        partial(study.network, run),
        partial(nucleate.diagnose, study, run=run),
        partial(figures.trajectory, study, run=run),
    )
    for ask in asks:
        with pytest.raises(nucleate.NucleateError, match=repr(run)):
            ask()


def test_the_reductions_of_a_study_are_counted(study, tmp_path):
    """Whoever makes three and takes one is told three times the chance; the same once more is nothing to choose."""
    copy = nucleate.Study.load(shutil.copytree(study.path, tmp_path / "study"))
    shutil.rmtree(copy.path / FOLDER, ignore_errors=True)
    (other,) = {0, 1} - {recommended_run(copy)}
    tried = [{}, {"seed": 1}, {"seed": 0}, {"run": other}]
    options = {"tolerance": 0.05, "method": "merge", "baselines": False}
    made = [reduce_study(copy, **options, **settings).certificate for settings in tried]
    assert [certificate.among for certificate in made] == [1, 2, 2, 3]
    last = load_reduction(copy.path / FOLDER).certificate
    assert last.among == 3
    assert last.probability == pytest.approx(3 / (last.rows + 1))
    assert f"a chance of at most 3 in {last.rows + 1}. This counts the 3 reductions made of this study." in str(last)
    (copy.path / FOLDER / "made.json").write_text("[1", "utf-8")
    with pytest.raises(nucleate.StudyError, match="it is not known how many reductions were made of the study"):
        reduce_study(copy, **options)


def test_it_is_kept_with_the_study_and_timed(study, reduction):
    again = load_reduction(study.path / FOLDER)
    assert str(again) == str(reduction)
    assert again.inference.before > 0
    rows = raw_rows(reduction.preprocessing, study.load_problem().test.x)
    assert Session((study.path / FOLDER / "network.onnx").read_bytes()).predictions(rows).shape == (len(rows), 1)


def test_the_study_goes_on_as_if_nothing_had_happened(study, reduction):
    again = nucleate.sweep(study.spec, out=study.path, progress=False)
    assert again.results.equals(study.results)


def test_other_data_are_refused(study):
    with pytest.raises(nucleate.StudyError, match="The data are not those of"):
        reduce_study(study, nucleate.load_problem("linnerud"))


def test_a_study_in_which_nothing_has_trained_is_refused(tmp_path):
    study = nucleate.sweep(
        "diabetes", gains=[1.0], lrs=[1e5], hidden=[4], steps=20, evaluations=4, out=tmp_path / "study", progress=False
    )
    with pytest.raises(nucleate.StudyError, match=r"No run of .* has trained to its end"):
        reduce_study(study)
