"""The certificate: its numbers, and its chance by simulation."""

import json
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest

import nucleate
from nucleate.problems import Sizes, split_rows
from nucleate.reduction import Certificate, OfClass
from nucleate.reduction.certificate import certify
from nucleate.reporting.sentences import say_certificate
from nucleate.reporting.words import load_texts

from .networks import drawn, regression

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("targets", [1, 2])
def test_its_numbers_are_those_of_the_test_rows(targets):
    rng = np.random.default_rng(0)
    original, other = drawn((3, 4, targets)), drawn((3, 4, targets), seed=1)
    x, units = rng.standard_normal((200, 3)), [1e5, 1e-3][:targets]
    problem = nucleate.Problem.from_arrays(x, (5 * original(x) + rng.standard_normal((200, targets))) * units)
    certificate = certify(original, other, problem)
    moved = np.asarray(other(problem.test.x) - original(problem.test.x)) * problem.preprocessing.units
    errors = (np.asarray(original(problem.test.x)) - problem.test.y) * problem.preprocessing.units
    told = moved if targets == 1 else moved / (problem.train.y * problem.preprocessing.units).std(axis=0)
    assert certificate.rows == 40
    assert certificate.largest_deviation == pytest.approx(np.abs(told).max())
    assert certificate.rms_deviation == pytest.approx(np.sqrt(np.mean(told**2)))
    shares = [np.sqrt(np.mean(moved[:, k] ** 2) / np.mean(errors[:, k] ** 2)) for k in range(targets)]
    assert certificate.relative_deviation == pytest.approx(max(shares))
    assert "at most 1 in 41" in str(certificate)
    assert ("in standard deviations of each target" in str(certificate)) == (targets > 1)
    # No target moved further than is told of it, and one of them as far.
    reached = np.abs(moved).max(axis=0) / certificate.by_target
    assert reached.max() == pytest.approx(1)
    assert reached.min() > 0.1


def test_of_several_targets_the_page_says_each_in_its_own_unit():
    certificate = Certificate(99, 0.5, 0.125, relative_deviation=0.05, spreads=(2000.0, 0.02))
    assert Certificate(**json.loads(json.dumps(asdict(certificate)))) == certificate
    assert json.loads(certificate.metadata["deviation"]) == [1000, 0.01]
    for language, own in (
        ("en", "in their own units, target by target, by no more than 1,000; 0.01."),
        ("ja", "それぞれの単位では、目的変数の順に 1,000; 0.01 以下"),
    ):
        said = say_certificate(certificate, load_texts(language))
        assert own in said
        assert "0.5" in said


@pytest.mark.parametrize("copies", [1, 4])
def test_it_says_how_many_of_its_rows_repeat_rows_that_were_seen(copies):
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((120 // copies, 3)), copies, axis=0)
    problem = nucleate.Problem.from_arrays(x, x.sum(axis=1) + np.repeat(rng.standard_normal(120 // copies), copies))
    certificate = certify(drawn((3, 4, 1)), drawn((3, 4, 1), seed=1), problem)
    seen = np.concatenate([problem.train.x, problem.validation.x])
    repeated = int((problem.test.x[:, None] == seen).all(axis=2).any(axis=1).sum())
    assert certificate.repeated == repeated
    assert (repeated > 12) == (copies > 1)
    said = f"{repeated} of these rows are among those of training or validation too"
    for text in (str(certificate), say_certificate(certificate, load_texts("en"))):
        assert (said in text) == (copies > 1)


@pytest.mark.parametrize("of_classes", [False, True])
def test_copies_of_a_row_are_one_chance(of_classes):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 3))
    y = np.where(x[:, 0] > 0, "a", "b") if of_classes else x.sum(axis=1)
    tables = [pl.DataFrame(x[rows], list("uvw")).with_columns(y=y[rows]) for rows in (slice(0, 80), slice(80, 120))]
    network, other = (drawn((3, 4, 1 + of_classes), seed=seed) for seed in (0, 1))
    once, thrice = (
        certify(network, other, nucleate.Problem.from_table(tables[0], test=pl.concat([tables[1]] * times), target="y"))
        for times in (1, 3)
    )
    assert (thrice.rows, thrice.distinct, once.distinct) == (120, 40, None)
    assert thrice.probability == once.probability == 1 / 41
    assert thrice.classes == once.classes
    assert "On 120 held-out rows (40 of them different), outputs" in str(thrice)
    assert "On 120 (40 of them different) held-out rows" in say_certificate(thrice, load_texts("en"))


def test_a_row_whose_copies_are_in_all_parts_is_seen_once():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.repeat(rng.standard_normal((30, 3)), 10, axis=0), rng.standard_normal((200, 3))])
    table = pl.DataFrame(x, list("uvw")).with_columns(y=pl.Series(["a"] * 300 + ["b"] * 200))
    problem = nucleate.Problem.from_table(table, target="y")
    of_a, of_b = certify(drawn((3, 4, 2)), drawn((3, 4, 2), seed=1), problem).classes
    assert (of_a.seen, of_b.seen) == (30, 200)
    assert of_a.held_out == len(np.unique(problem.test.x[problem.test.y[:, 0] == 1], axis=0)) < 30
    assert of_b.held_out == (problem.test.y[:, 1] == 1).sum()


def test_for_classes_it_is_of_probabilities_and_labels():
    problem = nucleate.load_problem("iris")
    original, other = drawn((4, 4, 3), dtype="float32"), drawn((4, 4, 3), seed=1, dtype="float32")
    certificate = certify(original, other, problem)
    assert 0 < certificate.rms_deviation <= certificate.largest_deviation <= 1
    assert certificate.labels_changed == np.sum(
        np.argmax(original(problem.test.x), axis=1) != np.argmax(other(problem.test.x), axis=1)
    )
    assert "labels change" in str(certificate)
    moved = np.abs(problem.predict(original(problem.test.x)) - problem.predict(other(problem.test.x))).max(axis=1)
    for k, of_class in enumerate(certificate.classes):
        members = problem.test.y[:, k] == 1
        said = (of_class.label, of_class.seen, of_class.held_out)
        # One of the virginicas is there twice.
        assert said == (problem.preprocessing.labels[k], 50 - (k == 2), members.sum())
        assert of_class.largest_deviation == pytest.approx(moved[members].max(), rel=1e-5)
    # Each class makes about a third, and without one of its rows it would still have 10 held out.
    assert certificate.probability == pytest.approx(1 / 31, rel=0.01)
    assert "where classes come as often as in these data. Within a class it is at most 1 in 11 for" in str(certificate)


def test_a_new_row_deviates_more_than_the_largest_seen_as_seldom_as_stated():
    # Deviations of two fixed networks on heavy-tailed inputs: exchangeable, and nothing else is used.
    rng = np.random.default_rng(0)
    original, other = drawn((2, 5, 1)), drawn((2, 5, 1), seed=1)
    rows, trials = 19, 4000
    x = rng.standard_cauchy((trials * (rows + 1), 2))
    moved = np.abs(np.asarray(original(x) - other(x))).reshape(trials, rows + 1)
    exceeded = np.mean(moved[:, -1] > moved[:, :-1].max(axis=1))
    assert exceeded == pytest.approx(1 / (rows + 1), abs=4 * np.sqrt(0.05 * 0.95 / trials))


LONG_TAIL, LARGE_TAIL = [0.8] + [0.005] * 40, np.array([1.0] + [1e6] * 40)


@pytest.mark.parametrize(
    ("labels", "sizes", "plain_is_wrong"),
    [
        (lambda rng: rng.choice(41, 101, p=LONG_TAIL), LARGE_TAIL, True),
        (lambda rng: rng.choice(41, 301, p=LONG_TAIL), LARGE_TAIL, False),
        (lambda rng: of_counts(rng, [320] + [2] * 40), LARGE_TAIL, True),
        (lambda rng: of_counts(rng, [480] + [3] * 40), LARGE_TAIL, False),
        (lambda rng: rng.choice(3, 101), np.array([1, 1, 1e6]), False),
        (lambda rng: rng.choice(2, 101, p=[0.95, 0.05]), np.array([1, 1e6]), False),
    ],
    ids=["40 rare", "40 rare, more rows", "40 of 2 rows", "40 of 3 rows", "3 alike", "one rare"],
)
def test_of_classes_a_new_row_deviates_more_at_most_as_often_as_stated(labels, sizes, plain_is_wrong):
    """The split is stratified; a class that is not held out, or that the data lack, may be the new row's."""
    rng, trials = np.random.default_rng(1), 800
    exceeded, stated, surplus_by_class = [], [], []
    for trial in range(trials):
        classes = labels(rng)
        rows, moved = len(classes) - 1, sizes[classes] * np.abs(rng.standard_cauchy(len(classes)))
        part = rows // 5
        try:
            held_out = split_rows(Sizes(rows - 2 * part, part, part), trial, classes[:-1]).test
        except nucleate.DataError:  # No row of some class was left for training.
            continue
        certificate = certificate_of(classes[:-1], held_out, moved)
        exceeded.append(moved[-1] > certificate.largest_deviation)
        stated.append(certificate.probability)
        own = [entry for entry in certificate.classes if entry.label == classes[-1] and entry.held_out]
        surplus_by_class += [(moved[-1] > entry.largest_deviation) - entry.probability for entry in own]
    assert len(exceeded) > 0.9 * trials
    spread = np.sqrt(np.mean(stated) * (1 - np.mean(stated)) / len(stated))
    assert np.mean(exceeded) < np.mean(stated) + 3 * spread
    assert plain_is_wrong == (np.mean(exceeded) > 1 / (part + 1) + 6 * spread)
    # Within a class the bound is exact.
    assert abs(np.mean(surplus_by_class)) < 4 * np.std(surplus_by_class) / np.sqrt(len(surplus_by_class))


def of_counts(rng, counts):
    """Rows of classes of these sizes, and one more that is like any of them."""
    classes = np.repeat(np.arange(len(counts)), counts)
    return np.append(classes, rng.choice(classes))


def certificate_of(classes, held_out, moved):
    entries = []
    for label in np.unique(classes).tolist():
        its = moved[held_out[classes[held_out] == label]]
        entries.append(OfClass(label, int((classes == label).sum()), len(its), its.max() if len(its) else None))
    return Certificate(len(held_out), moved[held_out].max(), 0.0, labels_changed=0, classes=tuple(entries))


def test_classes_without_a_held_out_row_are_named_and_nothing_is_said_of_them():
    rng = np.random.default_rng(0)
    kinds = np.array(["common"] * 150 + ["other"] * 44 + ["rare"] * 3 + ["odd"] * 3)
    problem = nucleate.Problem.from_arrays(rng.standard_normal((len(kinds), 3)), kinds, test=0.1)
    certificate = certify(drawn((3, 4, 4)), drawn((3, 4, 4), seed=1), problem)
    assert {entry.label: (entry.seen, entry.held_out) for entry in certificate.classes} == {
        "common": (150, 15),
        "odd": (3, 0),
        "other": (44, 5),
        "rare": (3, 0),
    }
    assert [entry.probability for entry in certificate.classes] == [1 / 16, 1, 1 / 6, 1]
    # 6 of 200 rows are of classes without a held-out row; of the others, one row fewer would leave 15 and 4.
    assert certificate.probability == pytest.approx(0.03 + 0.97 / (0.97 * 4 / 0.22 + 1))
    said = str(certificate)
    assert "Within a class it is at most 1 in 16 for 'common', 1 in 6 for 'other'." in said
    assert "Nothing is guaranteed within 'odd', 'rare', of which no row is held out." in said
    assert "1 in 21" not in said


def test_many_classes_are_told_in_a_line():
    classes = [OfClass(k, 20 + k, 4 + k % 2, 0.1) for k in range(30)] + [OfClass(k, 1, 0, None) for k in range(30, 38)]
    said = str(Certificate(135, 0.1, 0.01, labels_changed=0, classes=tuple(classes)))
    assert (
        "Within a class it is at most 1 in 5 to 1 in 6. Nothing is guaranteed within 30, 31, 32, 33, 34 and 3 others,"
        in said
    )


def test_what_is_kept_as_json_comes_back():
    classes = (OfClass("a", 50, 10, 0.25), OfClass(True, 2, 0, None))
    certificate = Certificate(10, 0.25, 0.1, labels_changed=1, classes=classes)
    assert Certificate(**json.loads(json.dumps(asdict(certificate)))) == certificate


def test_the_best_of_several_is_exceeded_at_most_as_often_as_stated():
    rng = np.random.default_rng(0)
    compared, rows, trials = 20, 99, 2000
    moved = np.abs(rng.standard_cauchy((trials, compared, rows + 1)))
    largest = moved[:, :, :-1].max(axis=2)
    chosen = largest.argmin(axis=1)
    exceeded = np.mean(moved[np.arange(trials), chosen, -1] > largest.min(axis=1))
    certificate = Certificate(rows, 0.0, 0.0, relative_deviation=0.1)
    assert 2 * certificate.probability < exceeded < certificate.probability_among(compared) == pytest.approx(0.2)
    assert "chosen by what these rows say, the chance is up to k times that" in str(certificate)
    with pytest.raises(nucleate.SpecError, match="compared is 0; it must be 1 or more"):
        certificate.probability_among(0)


def test_too_few_rows_to_certify_are_refused():
    rng = np.random.default_rng(0)
    network = drawn((3, 4, 1))
    problem = regression(rng, network, rows=40)
    with pytest.raises(nucleate.DataError, match="There are 8 test rows to certify the reduced network on, and 19"):
        nucleate.reduce(network, problem)


def visits(**asked):
    """A problem of 200 rows, five of each of 40 groups, in the order of time."""
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"a": rng.standard_normal(200), "b": rng.standard_normal(200), "y": rng.standard_normal(200)})
    table = table.with_columns(who=pl.int_range(200) // 5, day=pl.int_range(200))
    used = {*asked.values()}
    return nucleate.Problem.from_table(
        table, target="y", without=[name for name in ("who", "day") if name not in used], **asked
    )


def certified(problem):
    return certify(drawn((2, 4, 1)), drawn((2, 4, 1), seed=1), problem)


def test_of_groups_it_is_about_a_new_group():
    certificate = certified(visits(split_by="who"))
    assert (certificate.rows, certificate.groups, certificate.dealt) == (40, 8, "random")
    assert certificate.probability == pytest.approx(1 / 9)
    assert "the rows are of 8 groups: a new group of the same kind has a row that moves further with a" in str(
        certificate
    )
    assert "at most 1 in 9." in str(certificate)


def test_a_new_group_has_a_row_that_deviates_more_as_seldom_as_stated():
    # Rows of a group deviate alike; with rows in the place of groups the statement would be far too sure.
    rng = np.random.default_rng(0)
    groups, size, trials = 9, 10, 4000
    moved = np.abs(rng.standard_cauchy((trials, groups + 1, 1)) + 0.1 * rng.standard_normal((trials, groups + 1, size)))
    furthest = moved.max(axis=2)
    exceeded = np.mean(furthest[:, -1] > furthest[:, :-1].max(axis=1))
    assert exceeded == pytest.approx(1 / (groups + 1), abs=4 * np.sqrt(0.1 * 0.9 / trials))
    assert exceeded > 5 / (groups * size + 1)


def test_of_the_last_rows_in_time_it_says_that_drift_is_not_seen():
    certificate = certified(visits(split_by_time="day"))
    assert (certificate.dealt, certificate.probability) == ("time", 1 / 41)
    assert "that holds only if later ones are like them, and where the data drift nothing is guaranteed" in str(
        certificate
    )


def test_of_rows_of_ones_own_it_says_that_they_were_not_drawn():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"a": rng.standard_normal(90), "b": rng.standard_normal(90), "y": rng.standard_normal(90)})
    certificate = certified(nucleate.Problem.from_table(table[:60], test=table[60:], target="y"))
    assert (certificate.dealt, certificate.rows, certificate.probability) == ("own", 30, 1 / 31)
    assert "These rows were given, not drawn at random here" in str(certificate)
    drawn_here = certified(nucleate.Problem.from_table(table, validation=table[:9], target="y"))
    assert drawn_here.dealt == "random"
    assert "not drawn at random" not in str(drawn_here)


def test_classes_that_were_not_dealt_out_one_by_one_are_not_weighed_so():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"a": rng.standard_normal(120), "b": rng.standard_normal(120), "y": ["u", "v"] * 60})
    table = table.with_columns(part=pl.Series(["train"] * 60 + ["validation"] * 20 + ["test"] * 40))
    problem = nucleate.Problem.from_table(table, target="y", split="part")
    certificate = certify(drawn((2, 4, 2)), drawn((2, 4, 2), seed=1), problem)
    assert certificate.probability == 1 / 41
    assert [entry.held_out for entry in certificate.classes] == [20, 20]
    assert "at most 1 in 41. Within a class it is at most 1 in 21 for 'u', 1 in 21 for 'v'. These rows were" in str(
        certificate
    )
