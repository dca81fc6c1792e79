"""Whether another model is better than a network, worse, or cannot be told apart from it, on the rows at hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict

import numpy as np
import scipy
from jaxtyping import Float, Int

from nucleate._wording import in_digits
from nucleate.problems import Metric, Problem, Split

GROUPS = 200
"""Rows are left out one by one, or where there are more, in so many groups."""
_MISSED = 0.05
_RULE_OF_THREE = 3
"""Of what happens on none of n rows, up to 3 in n new ones may be."""


@dataclass(frozen=True)
class Comparison:
    """Another model held against a network on the same rows, to which neither was fitted.

    Nor may these rows have chosen either among others, for then the chosen one is a little too good on them, and the
    interval, which knows nothing of the choice, misses the difference on new rows more often than it says.

    How much worse the other one is has a standard error of two parts. That of the rows is found by leaving out each in
    turn and judging both models on the rest, a paired jackknife (Tukey 1958): what both find hard cancels. The
    difference's square over the number of rows, of weighted ones their effective number, is added to its variance, as
    in McNemar's test, so that a few rows of one mind are no proof. The variance of a share is that of three rows judged
    differently at least: models that are right on the same rows may differ on up to 3 of so many new ones (rule of
    three). That of the seeds is each model's own variance between its seeds over their number (Welch 1947); one of a
    single seed is taken to vary as the other. The interval is Student's, with the degrees of freedom of Welch and
    Satterthwaite (derived in docs/reduce.md), and of shares ends at what is possible, a difference of 1.

    Parameters
    ----------
    rows : int
    network, other : float
        The metric of either on these rows, averaged over its seeds.
    lower, upper : float
        The interval of how much worse the other one is; negative where it is better.
    seeds : tuple of int
        Of how many seeds either is the average.
    among : int
        How many comparisons the 95 % hold for together (Bonferroni).
    groups : int or None
        How many groups these rows belong to, where they do: then whole groups are left out.
    distinct : int or None
        How many different rows these are, where some are copies of others: then a row is left out with its copies.
    """

    rows: int
    network: float
    other: float
    lower: float
    upper: float
    seeds: tuple[int, int] = (1, 1)
    among: int = 1
    groups: int | None = None
    distinct: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", tuple(self.seeds))

    @property
    def verdict(self) -> Literal["better", "worse", "alike", "undefined"]:
        """What the other model is, beyond the noise; undefined where a metric is NaN or infinite.

        >>> Comparison(80, 0.5, 0.1, -0.5, -0.3).verdict, Comparison(80, 0.5, 0.5, -0.1, 0.1).verdict
        ('better', 'alike')
        """
        if not np.isfinite([self.lower, self.upper]).all():
            return "undefined"
        if self.upper < 0:
            return "better"
        return "worse" if self.lower > 0 else "alike"

    @property
    def difference(self) -> float:
        """How far apart the metrics are."""
        return abs(self.other - self.network)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference, by its verdict; if alike, how much better and how much worse.

        >>> Comparison(80, 0.5, 0.1, -0.5, -0.3).interval, Comparison(80, 0.5, 0.5, 0.0, 0.1).interval
        ((0.3, 0.5), (0.0, 0.1))
        """
        if self.verdict == "better":
            return -self.upper, -self.lower
        return (self.lower, self.upper) if self.verdict == "worse" else (abs(self.lower), self.upper)

    def __str__(self) -> str:
        low, high = (in_digits(end, 3) for end in self.interval)
        rows = f"{self.rows} rows" + ("" if self.groups is None else f" of {self.groups} groups")
        rows += "" if self.distinct is None else f" ({self.distinct} of them different)"
        if self.verdict == "undefined":
            return f"cannot be compared on {rows}: {in_digits(self.other, 3)} against {in_digits(self.network, 3)}"
        if self.verdict == "alike":
            return f"cannot be told apart on {rows} (from {low} better to {high} worse)"
        return f"{self.verdict} by {in_digits(self.difference, 3)} ({low} to {high}) on {rows}"


@dataclass(frozen=True, eq=False)
class Judged:
    """A model's metric on some rows.

    Parameters
    ----------
    value : float
    without : array of shape (g,)
        The same without each of g groups of the rows, which are the same for all models.
    units : float
        How many independent rows, or groups of them, it is of; with weights w ``(sum w)^2 / sum w^2`` (Kish 1965,
        *Survey Sampling*, section 11.7), as few heavy rows tell little more than they alone.
    """

    value: float
    without: Float[np.ndarray, " g"]
    units: float


@dataclass(frozen=True)
class Entrant:
    """A model in a comparison, judged for each of its seeds.

    Parameters
    ----------
    seeds : sequence of Judged
    varies : bool
        Whether another seed would give another model: not for a linear model, nor for a network that is given.
    """

    seeds: Sequence[Judged]
    varies: bool = True


def judge(
    metric: Metric,
    predicted: Float[np.ndarray, "n c"],
    true: Float[np.ndarray, "n c"],
    groups: Int[np.ndarray, " n"] | None = None,
    weights: Float[np.ndarray, " n"] | None = None,
) -> Judged:
    """The metric on rows, and without each group of them.

    Parameters
    ----------
    metric : Metric
    predicted, true : arrays of shape (n, c)
        As the metric takes them.
    groups : array of shape (n,), optional
        The number of each row's group, where rows of one group are alike; they are left out together.
    weights : array of shape (n,), optional
        What each row counts for; a row of weight 2 is left out as one.

    Returns
    -------
    Judged
    """
    names, members = np.unique(np.arange(len(true)) if groups is None else groups, return_inverse=True)
    value, units = metric(predicted, true, weights), float(len(names))
    if weights is not None:
        # Of groups by the mean weight of their rows, as groups without weights count each as one.
        of_units = np.bincount(members, weights) / np.bincount(members)
        units = float(of_units.sum() ** 2 / np.square(of_units).sum())
    if len(names) < 2:
        return Judged(value, np.empty(0), units)
    left_out = np.empty(len(names), np.int64)
    # In parts of sizes that differ by one at most.
    left_out[np.random.default_rng(0).permutation(len(names))] = np.sort(np.arange(len(names)) % GROUPS)
    return Judged(value, metric.without(left_out[members], predicted, true, weights), units)


def compare_entrants(
    metric: Metric,
    rows: int,
    network: Entrant,
    other: Entrant,
    among: int = 1,
    groups: int | None = None,
    distinct: int | None = None,
) -> Comparison:
    """Hold another model against a network, both judged on the same rows.

    Parameters
    ----------
    metric : Metric
    rows : int
        How many.
    network, other : Entrant
    among : int
        How many comparisons shall hold together.
    groups : int, optional
        Of how many groups the rows are, where these were left out together.
    distinct : int, optional
        How many different rows there are, where copies were left out together.

    Returns
    -------
    Comparison
    """
    ours, theirs = (float(np.mean([seed.value for seed in entrant.seeds])) for entrant in (network, other))
    without = [np.mean([seed.without for seed in entrant.seeds], axis=0) for entrant in (network, other)]
    with np.errstate(invalid="ignore"):
        moved = without[1] - without[0]
    # Without some rows a metric may be undefined, as a mean over classes is without a class.
    moved = moved[np.isfinite(moved)]
    seeds = (len(network.seeds), len(other.seeds))
    if not np.isfinite([ours, theirs]).all():
        return Comparison(rows, ours, theirs, np.nan, np.nan, seeds, among, groups, distinct)
    difference = metric.cost(theirs) - metric.cost(ours)
    of_rows = (len(moved) - 1) * float(np.var(moved)) if len(moved) else 0.0
    units = network.seeds[0].units
    of_rows += difference**2 / units
    if metric.is_share:
        of_rows = max(of_rows, _RULE_OF_THREE / units**2)
    parts = [
        (of_rows, max(min(len(moved), units) - 1, 1)),
        *_of_seeds([entrant for entrant in (network, other) if entrant.varies]),
    ]
    variance = sum(part for part, _ in parts)
    half = 0.0
    if variance > 0:
        effective = 1 / sum((part / variance) ** 2 / freedom for part, freedom in parts)
        half = float(scipy.special.stdtrit(effective, 1 - _MISSED / 2 / among)) * variance**0.5
    lower, upper = difference - half, difference + half
    if metric.is_share:
        # No two shares are further apart, however little a few seeds tell.
        lower, upper = max(lower, -1.0), min(upper, 1.0)
    return Comparison(rows, ours, theirs, lower, upper, seeds, among, groups, distinct)


def _of_seeds(varying: Sequence[Entrant]) -> list[tuple[float, int]]:
    """The variances that seeds leave to each mean, with their degrees of freedom; one seed varies as the others do."""
    several = [[seed.value for seed in entrant.seeds] for entrant in varying if len(entrant.seeds) > 1]
    alone = len(varying) - len(several)
    return [(float(np.var(values, ddof=1)) * (1 / len(values) + alone), len(values) - 1) for values in several]


def compare(
    problem: Problem, network: Float[np.ndarray, "n c"], others: Sequence[Float[np.ndarray, "n c"]]
) -> Comparison:
    """Hold another model's outputs against a given network's, on the test rows.

    Parameters
    ----------
    problem : Problem
    network : array of shape (n, c)
    others : sequence of arrays of shape (n, c)
        Of each seed of the other model.

    Returns
    -------
    Comparison
    """
    part = problem.test
    entrants = [judge_outputs(problem, outputs, part) for outputs in (network, *others)]
    ours, theirs = Entrant(entrants[:1], varies=False), Entrant(entrants[1:], varies=len(others) > 1)
    return compare_entrants(problem.loss.metric, len(part.x), ours, theirs, **count_units(part))


def judge_outputs(problem: Problem, outputs: Float[np.ndarray, "n c"], part: Split) -> Judged:
    """A model's outputs for a part's rows, standardized where the problem is, judged by the problem's metric.

    Rows are left out with their group, or with their copies.
    """
    true = problem.preprocessing.in_units(part.y)
    together = part.copies if part.groups is None else part.groups
    return judge(problem.loss.metric, problem.predict(outputs), true, together, part.weights)


class Units(TypedDict):
    """What is left out at a time, where that is not a row: how many groups there are, or different rows."""

    groups: int | None
    distinct: int | None


class OfUnits(Protocol):
    """Rows of which it is known what stands for one: a `Split`, or those of a PyTorch module."""

    @property
    def groups(self) -> Int[np.ndarray, " n"] | None:
        """The number of each row's group."""

    @property
    def copies(self) -> Int[np.ndarray, " n"] | None:
        """Which of the different rows each is."""


def count_units(part: OfUnits) -> Units:
    """Of how many groups its rows are, where they belong to groups, or else how many differ, where some are copies.

    The keys are ``groups`` and ``distinct``, as of a `Comparison`.
    """
    if part.groups is not None:
        return {"groups": len(np.unique(part.groups)), "distinct": None}
    return {"groups": None, "distinct": None if part.copies is None else len(np.unique(part.copies))}
