"""What samples of units tell of all of them: against many samples, all units, and planted groups."""

import numpy as np
import pytest

from nucleate import inspect
from nucleate.inspection.measuring import values_on_data
from nucleate.inspection.samples import Unseen, effective_neurons_of_all, pairs_of_all
from nucleate.observe import alike, directions
from nucleate.sources.source import Activity

pytestmark = pytest.mark.slow

ZIPF = (3000 / np.arange(1, 800)).astype(int)
UNEVEN = {
    "a few large ones and many single ones": np.append([1500, 800, 200], np.ones(2500, int)),
    "Zipf's law": ZIPF,
    "as many of 1 as of 10 and of 40": np.repeat([1, 10, 40], 100),
    "one and a few others": np.array([5000, 3, 2, 1]),
}


def told(values, measure):
    return next(one for one in values if one.measure == measure)


@pytest.mark.parametrize("sampled", [60, 200, 600])
@pytest.mark.parametrize("weighted", [False, True], ids=["how many", "a sum"])
def test_what_unseen_groups_add_is_estimated_without_a_bias_and_with_its_error(sampled, weighted):
    rng = np.random.default_rng(0)
    sizes = np.repeat([1, 3, 10], [300, 100, 30])
    values = rng.exponential(size=len(sizes)) * sizes if weighted else np.ones(len(sizes))
    group, found = np.repeat(np.arange(len(sizes)), sizes), []
    for _ in range(600):
        seen = np.unique(rng.choice(group, sampled, replace=False))
        unseen, rest = Unseen.of(sizes[seen], sizes[seen], len(group), sampled), len(group) - sizes[seen].sum()
        found.append((values[seen].sum() + rest * unseen.ratio(values[seen]), unseen.error(values[seen])))
    totals, errors = np.array(found).T
    assert totals.mean() == pytest.approx(values.sum(), rel=0.02)
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(totals.std(), rel=0.15)


def test_units_that_are_all_alone_leave_no_error():
    unseen = Unseen.of(np.ones(10, int), np.ones(10), 100, 10)
    assert (unseen.ratio(np.ones(10)), unseen.error(np.ones(10))) == (pytest.approx(1), pytest.approx(0, abs=1e-12))


@pytest.mark.parametrize("sizes", UNEVEN.values(), ids=UNEVEN)
def test_directions_of_uneven_sizes_are_counted_within_their_error(sizes):
    rng = np.random.default_rng(1)
    weights = np.repeat(rng.standard_normal((len(sizes), 40)), sizes, axis=0)
    weights *= rng.uniform(0.5, 2.0, (len(weights), 1))
    weights += 0.01 * rng.standard_normal(weights.shape)
    rows = [inspect({"w": weights}, seed=seed).table.filter(measure="directions") for seed in range(6)]
    values, errors = (np.array([one[column].item() for one in rows]) for column in ("value", "error"))
    assert (np.abs(values - len(sizes)) <= 3 * errors + 1e-6).all()
    assert abs(values.mean() - len(sizes)) <= 3 * np.sqrt(np.square(errors).sum()) / len(errors) + 1e-6
    assert errors.max() < 0.05 * len(sizes)


@pytest.mark.parametrize(
    ("entries", "noise", "within"),
    # Within a direction of the first three cosines are above 0.95, of the next about that, of the last below.
    [(3, 0.1, 0.0), (30, 0.15, 0.0), (100, 0.15, 0.0), (30, 0.23, 0.25), (100, 0.23, 0.25), (100, 0.4, 0.01)],
)
def test_directions_of_a_sample_are_those_of_all_where_these_are_told_apart(entries, noise, within):
    rng = np.random.default_rng(2)
    sizes = (1200 / np.arange(1, 12)).astype(int)
    axes = rng.standard_normal((len(sizes), entries))
    weights = np.repeat(axes / np.linalg.norm(axes, axis=1, keepdims=True), sizes, axis=0)
    weights += noise / np.sqrt(entries) * rng.standard_normal(weights.shape)
    exact = directions(weights, signed=True).count
    row = inspect({"w": weights}).table.filter(measure="directions")
    assert row["value"].item() == pytest.approx(exact, rel=within)


def condensed(rng, sizes, noise, signs):
    """Activations in groups, and what reads them."""
    signals = rng.standard_normal((len(sizes), 64))
    leaving = np.repeat(signals, sizes, axis=0) + noise * rng.standard_normal((sizes.sum(), 64))
    leaving *= rng.uniform(0.2, 2.0, (len(leaving), 1))
    outgoing = rng.exponential(size=(len(leaving), 1)) * np.repeat(rng.standard_normal((len(sizes), 3)), sizes, axis=0)
    if signs:
        outgoing = rng.standard_normal(outgoing.shape)
    order = rng.permutation(len(leaving))
    return leaving[order], outgoing[order]


@pytest.mark.parametrize("signs", [False, True], ids=["of one mind", "at random"])
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.15])
@pytest.mark.parametrize(
    "sizes", [np.array([1500, 900, 500, 80, 15, 4, 1]), np.append([1000, 500, 200], np.ones(1300, int))]
)
def test_effective_neurons_of_condensed_layers_are_those_of_all_units(sizes, noise, signs):
    leaving, outgoing = condensed(np.random.default_rng(3), sizes, noise, signs)
    exact = alike(leaving, outgoing).effective_neurons
    found = [told(values_on_data(Activity(leaving, outgoing), None, seed), "effective_neurons") for seed in range(2)]
    assert all(abs(one.value - exact) <= 3 * one.error + 0.05 * exact for one in found)
    assert all(one.error < 0.1 * exact for one in found)


MANY = np.append([3000, 1000, 200], np.repeat([1, 5, 20], [4000, 600, 100]))
"""Groups of which two samples see about a half."""


def test_directions_that_no_sample_saw_are_within_the_error():
    rng = np.random.default_rng(0)
    weights = np.repeat(rng.standard_normal((len(MANY), 40), np.float32), MANY, axis=0)
    rows = [inspect({"w": weights}, seed=seed).table.filter(measure="directions") for seed in range(6)]
    values, errors = (np.array([one[column].item() for one in rows]) for column in ("value", "error"))
    assert (np.abs(values - len(MANY)) <= 3 * errors).all()
    assert (errors < 0.01 * len(MANY)).all()


@pytest.mark.parametrize("signs", [False, True], ids=["of one mind", "at random"])
def test_effective_neurons_of_groups_that_no_sample_saw_are_within_the_error(signs):
    """The truth is summed over the groups, which are exact."""
    rng = np.random.default_rng(0)
    leaving = np.repeat(rng.standard_normal((len(MANY), 64)), MANY, axis=0)
    outgoing = np.exp(0.3 * rng.standard_normal((len(leaving), 1)))
    drawn = rng.standard_normal((len(leaving), 3))
    outgoing = outgoing * (drawn if signs else np.repeat(drawn[: len(MANY)], MANY, axis=0))
    added = np.add.reduceat(leaving.std(axis=1)[:, None] * outgoing, np.cumsum(MANY) - MANY)
    share = np.linalg.norm(added, axis=1) / np.linalg.norm(added, axis=1).sum()
    exact = np.exp(-(share * np.log(share)).sum())
    found = [effective_neurons_of_all(leaving, outgoing, np.random.default_rng(seed)) for seed in range(4)]
    assert all(abs(value - exact) <= 3 * error for value, error in found)
    assert all(error < 0.01 * exact for _, error in found)


@pytest.mark.parametrize("units", [400, 3000])
@pytest.mark.parametrize("groups", [1, 5])
@pytest.mark.parametrize("expected", [1, 3, 5, 10, 50])
def test_condensed_pairs_of_all_are_within_two_errors_as_often_as_such_are(units, groups, expected):
    """Of a group of which few units are in the sample, also of one of which it has none or a single one.

    95 % is what two errors mean; of 200 samples, 180 or fewer within them have a chance of 1 in 500.
    """
    rng, looked_at = np.random.default_rng(0), 300
    size = max(2, round(expected * units / looked_at))
    # Each unit that belongs to none is alone.
    group = np.append(np.repeat(np.arange(groups), size), np.arange(groups, groups + units - groups * size))
    share = groups * size * (size - 1) / (units * (units - 1))
    within = 0
    for _ in range(200):
        seen = rng.choice(group, looked_at, replace=False)
        value, error = pairs_of_all(seen[:, None] == seen, units)
        within += abs(value - share) <= 1.96 * error
    assert within > 180
