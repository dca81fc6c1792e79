"""A verdict is a function of the numbers, and is kept beside its figure."""

import json
import math

import pytest

from nucleate import SpecError
from nucleate.experiments import Criterion, Verdict
from nucleate.experiments.experiment import load_verdict, save_verdict
from nucleate.figures.style import FORMATS
from tests.experiments.planted import Planted


@pytest.mark.parametrize(
    ("numbers", "holds", "said"),
    [
        ((1.0, 0.5), True, "holds"),
        ((0.99, 0.5), False, "does not hold"),
        ((1.0, 0.51), False, "does not hold"),
        ((math.nan, 0.0), None, "could not be computed"),
        ((1.0, math.nan), None, "could not be computed"),
        # Whatever the other number is, this one misses its threshold.
        ((0.99, math.nan), False, "does not hold"),
    ],
)
def test_a_claim_holds_only_if_every_number_meets_its_threshold(tmp_path, numbers, holds, said):
    verdict = Verdict.of(Planted().experiment, numbers, tmp_path, quick=True)
    assert verdict.holds is bool(holds)
    assert verdict.to_dict()["holds"] is holds
    assert str(verdict).startswith(f"planted {said}: first: {numbers[0]:.4g} (at least 1: ")
    assert str(verdict).count("could not be computed)") == sum(map(math.isnan, numbers))
    known = [finding for finding in verdict.findings if not math.isnan(finding.number)]
    assert str(verdict).count("not met") == sum(not finding.holds for finding in known)
    assert [one["holds"] for one in verdict.to_dict()["findings"]] == [
        None if math.isnan(number) else holds
        for number, holds in zip(numbers, (numbers[0] >= 1.0, numbers[1] <= 0.5), strict=True)
    ]


def test_a_number_for_each_criterion_or_none():
    with pytest.raises(SpecError, match="'planted' measured 1 numbers for 2 criteria; return one for each"):
        Verdict.of(Planted().experiment, (1.0,), None, quick=True)


def kept(planted, out, numbers=(1.0, 0.5), quick=True):
    verdict = Verdict.of(planted.experiment, numbers, out, quick=quick)
    save_verdict(verdict, planted.measure(planted.experiment.quick, lambda share: None).figure)
    return verdict


@pytest.mark.parametrize("numbers", [(0.1 + 0.2, 0.5), (math.nan, 0.5)])
def test_a_kept_verdict_is_found_again(tmp_path, numbers):
    planted = Planted(*numbers)
    verdict = kept(planted, tmp_path, numbers)
    found = load_verdict(planted.experiment, tmp_path, quick=True)
    assert repr(found) == repr(verdict)
    assert "NaN" not in (tmp_path / "planted.json").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {f"planted.{ending}" for ending in ("json", *FORMATS)}


def test_equal_figures_are_equal_files(tmp_path):
    contents = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        kept(Planted(1.0, 0.5), tmp_path / folder)
        contents.append([(tmp_path / folder / f"planted.{ending}").read_bytes() for ending in ("json", *FORMATS)])
    assert contents[0] == contents[1]


def test_what_is_of_another_size_version_or_setting_or_damaged_is_not_found(tmp_path):
    planted = Planted(1.0, 0.5)
    kept(planted, tmp_path)
    file = tmp_path / "planted.json"
    assert load_verdict(planted.experiment, tmp_path, quick=False) is None
    assert load_verdict(Planted(1.0, 0.4).experiment, tmp_path, quick=True) is None
    good = file.read_text()
    for bad in (
        json.dumps(json.loads(good) | {"version": "0.0.0"}),
        good[:40],
        "[]",
        good.replace("at least", "at most"),
    ):
        file.write_text(bad)
        assert load_verdict(planted.experiment, tmp_path, quick=True) is None
    file.write_text(good)
    assert load_verdict(planted.experiment, tmp_path, quick=True) is not None
    file.with_suffix(".svg").unlink()
    assert load_verdict(planted.experiment, tmp_path, quick=True) is None


def test_no_claim_holds_at_nan():
    assert not Criterion("rank", "at most", 1.0).met_by(math.nan)
    assert not Criterion("rank", "at least", 1.0).met_by(math.nan)
