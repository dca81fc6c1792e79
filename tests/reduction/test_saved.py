"""A reduction in a folder, and in a file that says what was guaranteed."""

import json

import jax
import numpy as np
import pytest

import nucleate
from nucleate.network import read_metadata
from nucleate.reduction import guarantee, load_reduction, save_reduction

from .networks import drawn, regression


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    network = drawn((3, 6, 6, 1), dtype="float32")
    problem = regression(rng, network, rows=200)
    return nucleate.reduce(network, problem, 0.1, "merge", baselines=False), problem


def test_it_is_kept_whole(case, tmp_path):
    reduction, _ = case
    save_reduction(reduction, tmp_path / "kept")
    again = load_reduction(tmp_path / "kept")
    assert str(again) == str(reduction)
    for name in ("original", "network"):
        pairs = zip(*(jax.tree.leaves(getattr(one, name)) for one in (again, reduction)), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    assert [(g.labels.tolist(), g.loss) for g in again.groups] == [
        (g.labels.tolist(), g.loss) for g in reduction.groups
    ]
    assert again.preprocessing == reduction.preprocessing
    assert again.bound == reduction.bound
    assert again.metric_name == "rmse"
    assert (again.metric.larger_is_better, again.metric.is_share) == (False, False)


def test_classes_are_judged_by_a_share_of_which_more_is_better(tmp_path):
    problem = nucleate.load_problem("iris")
    save_reduction(nucleate.reduce(drawn((4, 5, 3)), problem, 0.5, baselines=False), tmp_path)
    metric = load_reduction(tmp_path).metric
    assert (metric.name, metric.larger_is_better, metric.is_share) == ("accuracy", True, True)


def test_a_folder_without_a_reduction_or_with_a_damaged_one_says_so(case, tmp_path):
    with pytest.raises(nucleate.StudyError, match=r"There is no reduction in .* `nucleate reduce STUDY`"):
        load_reduction(tmp_path)
    save_reduction(case[0], tmp_path)
    file = tmp_path / "reduction.json"
    content = file.read_text("utf-8")
    file.write_text(content[:-100], "utf-8")
    with pytest.raises(nucleate.StudyError, match="is damaged"):
        load_reduction(tmp_path)
    file.write_text(json.dumps(json.loads(content) | {"format": "nucleate reduction 1"}), "utf-8")
    with pytest.raises(nucleate.StudyError, match=r"format 'nucleate reduction 1', .* reduce again"):
        load_reduction(tmp_path)
    file.write_text(content, "utf-8")
    (tmp_path / "original.safetensors").unlink()
    with pytest.raises(nucleate.StudyError, match=r"lacks original.safetensors; reduce again"):
        load_reduction(tmp_path)


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
def test_its_file_says_what_was_guaranteed(case, tmp_path, ending):
    reduction, problem = case
    done = reduction.export(problem, tmp_path / f"small.{ending}")
    assert done.rows == reduction.certificate.rows
    assert guarantee(reduction)["certificate"] == str(reduction.certificate)
    if ending == "safetensors":
        assert guarantee(reduction).items() <= read_metadata(done.path).items()
