"""What held-out rows say of the reduced network."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from nucleate._wording import count, in_digits, rounded_up
from nucleate.baselines.comparison import count_units
from nucleate.errors import DataError, SpecError
from nucleate.models import outputs_of
from nucleate.network import Network
from nucleate.problems import Problem, Split
from nucleate.reduction.tolerance import Yardstick, predictions, root_mean_square, yardstick

FEWEST_ROWS = 19
"""With fewer rows the chance that a new one deviates further than all of them exceeds 1 in 20."""

_ASSUMED = {
    "random": "",
    "time": " These are the last rows in time, not rows drawn at random: that holds only if later ones are like them, "
    "and where the data drift nothing is guaranteed.",
    "own": " These rows were given, not drawn at random here: that holds only if new ones are drawn as they were, and "
    "otherwise nothing is guaranteed.",
    "drawn": " These rows are of the data that were given: that holds only if the module was not trained on them, and "
    "otherwise nothing is guaranteed.",
    "given": " These rows were given: that holds only if new ones are drawn as they were and the module was not "
    "trained on them, and otherwise nothing is guaranteed.",
}
"""What the split does not see to."""
_WEIGHED = (
    " The root mean square is weighted; the largest and the chance count each row once, or with its copies or its "
    "group, so they are of new rows that come as these did, not as the weights say."
)

_MOST_NAMED = 5
"""So many classes are told one by one."""


@dataclass(frozen=True)
class OfClass:
    """What a `Certificate` says of one class.

    Parameters
    ----------
    label : str, bool, int or float
    seen : int
        The different rows of the class in all three parts.
    held_out : int
        Those that are held out.
    largest_deviation : float or None
        Over the held-out rows and outputs; None where there is no such row.
    """

    label: bool | int | float | str
    seen: int
    held_out: int
    largest_deviation: float | None

    @property
    def probability(self) -> float:
        """The bound of the chance that a new row of this class deviates more than its largest seen.

        >>> OfClass("rare", seen=4, held_out=1, largest_deviation=0.1).probability
        0.5
        """
        return 1 / (self.held_out + 1)


@dataclass(frozen=True)
class Certificate:
    """How far the outputs moved on rows that neither training nor the reduction saw.

    Amounts are split at random. If a new row is exchangeable with the held-out ones, each of the ``rows + 1`` is as
    likely as any other to be the one that deviates most; so the chance that it is the new one is at most
    ``1 / (rows + 1)``, as in conformal prediction (Vovk, Gammerman and Shafer 2005, doi:10.1007/b106715).

    Classes are split one by one, and only within a class is it chance which rows are held out. So the same holds class
    by class (Mondrian conformal prediction, same book), and for a class without held-out rows nothing does.
    `probability` is for a new row of any class, where classes come as often as in these data (derived in
    docs/reduce.md).

    The chance is over the held-out rows and the new one together. It is gone if the data drift, and grows if a network
    or a reduction was chosen by what these rows say, see `probability_among`. The kinds of columns, the task and the
    classes are read off all rows, the held-out ones included; everything that is fitted is fitted to training rows.

    Parameters
    ----------
    rows : int
    largest_deviation, rms_deviation : float
        Over rows and outputs, in the target's own unit, in standard deviations of several targets, or in class
        probabilities.
    relative_deviation : float or None
        For amounts, the root mean square deviation over the original's root mean squared error on these rows,
        the largest of several targets.
    relative_to : {"error", "spread"}
        Of a module without targets of amounts it is over the standard deviation of the original's own outputs.
    labels_changed : int or None
        For classes, on how many of these rows the likeliest one is another.
    classes : tuple of OfClass
        Empty for amounts.
    among : int
        How many reductions were made of the same study by now, this one included: any of them may be chosen by these
        rows, so the chance is as many times larger.
    dealt : {"random", "time", "own", "drawn", "given"}
        How the held-out rows were: at random; as the last in time; or as a person chose them, by groups or not. But for
        the first, that a new row is exchangeable with them is an assumption of which the split says nothing. Of a
        module they are drawn from the data or given apart, and whether it was trained on them is not known.
    groups : int or None
        To how many groups these rows belong, where rows were split by groups. Rows of a group are alike, so it is new
        groups that are exchangeable with them: the chance is that any row of a new group deviates more.
    weighted : bool
        Whether rows have weights. These are in the root mean squares; the largest deviation, the labels that change and
        the chance count each row once.
    repeated : int
        How many of these rows are among those of training or validation too, target and all.
    distinct : int or None
        How many different rows these are, where some are copies of others, target and all: then these count for the
        chance.
    spreads : tuple of float
        The standard deviation of each of several targets, on rows that do not certify; empty for one. Were deviations
        told in the targets' own units, they would be those of the target with the largest numbers.
    """

    rows: int
    largest_deviation: float
    rms_deviation: float
    relative_deviation: float | None = None
    labels_changed: int | None = None
    classes: tuple[OfClass, ...] = ()
    among: int = 1
    dealt: Literal["random", "time", "own", "drawn", "given"] = "random"
    groups: int | None = None
    weighted: bool = False
    relative_to: Literal["error", "spread"] = "error"
    repeated: int = 0
    distinct: int | None = None
    spreads: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        # They may be as JSON has them.
        object.__setattr__(self, "spreads", tuple(self.spreads))
        classes: Any = self.classes
        of_classes = (one if isinstance(one, OfClass) else OfClass(**one) for one in classes)
        object.__setattr__(self, "classes", tuple(of_classes))

    @property
    def probability(self) -> float:
        """The bound of the chance that a new row deviates more than the largest seen, for one of `among` reductions.

        >>> Certificate(99, 0.5, 0.1).probability
        0.01
        >>> common, rare = OfClass("common", 490, 98, 0.5), OfClass("rare", 2, 0, None)
        >>> round(Certificate(98, 0.5, 0.1, classes=(common, rare)).probability, 3)
        0.014
        >>> Certificate(99, 0.5, 0.1, groups=4).probability
        0.2
        """
        return self.probability_among(self.among)

    def probability_among(self, compared: int) -> float:
        """The same bound for one that was chosen among several by what the held-out rows say.

        The chance that the chosen one is exceeded is at most the sum of all their chances.

        Parameters
        ----------
        compared : int
            How many reductions were looked at, or how many networks whose test metrics were; 1 or more.

        Returns
        -------
        float

        Raises
        ------
        SpecError
            For a smaller number.

        Examples
        --------
        >>> Certificate(99, 0.5, 0.1).probability_among(20)
        0.2
        """
        if compared < 1:
            raise SpecError(
                f"The number of what was compared is {compared}; it must be 1 or more, the chosen included."
            )
        # Only rows that were dealt out class by class are to be weighed so.
        of_classes = self.classes and self.dealt == "random"
        alone = _of_any_class(self.classes) if of_classes else 1 / (self.units + 1)
        return min(1.0, compared * alone)

    @property
    def units(self) -> int:
        """How many groups, or different rows where these are of no groups, were held out."""
        return self.groups or self.distinct or self.rows

    @property
    def by_target(self) -> tuple[float, ...]:
        """Up to where each target deviates, in its own unit: a new row exceeds any of these with the one chance.

        >>> Certificate(99, 0.5, 0.1, spreads=(1000.0, 0.02)).by_target
        (500.0, 0.01)
        """
        return tuple(self.largest_deviation * spread for spread in self.spreads or (1.0,))

    @property
    def metadata(self) -> dict[str, str]:
        """What a file says of it: all, and the largest deviation, or a list of those of several targets."""
        deviation = list(self.by_target) if self.spreads else self.largest_deviation
        return {"certificate": str(self), "deviation": json.dumps(deviation)}

    def __str__(self) -> str:
        in_units = {"error": "in the target's unit", "spread": "in the outputs' own unit"}[self.relative_to]
        if self.spreads:
            each = "; ".join(in_digits(one, 3) for one in self.by_target[:_MOST_NAMED])
            of_more = " …" if len(self.spreads) > _MOST_NAMED else ""
            in_units = f"in standard deviations of each target (in their own units at most {each}{of_more})"
        unit = "in probability" if self.relative_deviation is None else in_units
        different = "" if self.distinct is None else f" ({self.distinct} of them different)"
        moved = (
            f"On {self.rows} held-out rows{different}, outputs move by {in_digits(self.rms_deviation, 3)} "
            f"(root mean square) and at most {in_digits(self.largest_deviation, 3)}, {unit}"
        )
        chosen = (
            "If one of k reductions or networks was chosen by what these rows say, the chance is up to k times that."
            if self.among == 1
            else f"This counts the {self.among} reductions made of this study. If the network was chosen among k by "
            "what these rows say, the chance is up to k times that."
        )
        of_what = {"error": "error", "spread": "outputs' standard deviation"}[self.relative_to]
        changed = (
            f"{self.labels_changed} of the {self.rows} labels change."
            if self.relative_deviation is None
            else f"The root mean square is {self.relative_deviation:.2g} of the original's {of_what}"
            + (", of the target that moves most against it." if self.spreads else ".")
        )
        if self.classes and self.dealt == "random":
            further = (
                "a new row moves further with a chance of at most "
                f"{rounded_up(self.probability):.2g}, where classes come as often as in these data. "
                f"{_by_class(self.classes, self.among)}"
            )
        else:
            what = "row of the same kind" if self.groups is None else "group of the same kind has a row that"
            of_groups = "" if self.groups is None else f"the rows are of {count(self.groups, 'group')}: "
            further = (
                f"{of_groups}a new {what} moves further with a chance of at most {self.among} in {self.units + 1}."
            )
            further += f" {_by_class(self.classes, self.among)}" if self.classes else ""
        weighed = _WEIGHED if self.weighted else ""
        others = (
            "that the smaller module is made by" if self.dealt in ("drawn", "given") else "of training or validation"
        )
        repeated = (
            f" {self.repeated} of these rows are among those {others} too, so this is of new rows "
            "that are as often copies of known ones."
            if self.repeated
            else ""
        )
        return f"{moved}; {further}{_ASSUMED[self.dealt]}{weighed}{repeated} {chosen} {changed}"


def check_rows(problem: Problem) -> None:
    """Raise `DataError` if there are too few rows to certify anything."""
    if len(problem.test.x) < FEWEST_ROWS:
        raise DataError(
            f"There are {len(problem.test.x)} test rows to certify the reduced network on, and {FEWEST_ROWS} are "
            f"needed; give data of {5 * FEWEST_ROWS} rows or more."
        )


def certificate_of(
    yardstick: Yardstick, before: Float[np.ndarray, "n c"], after: Float[np.ndarray, "n c"], rows: int, **told: Any
) -> Certificate:
    """The certificate of predictions before and after, of so many rows."""
    moved = yardstick.changes(before, after)
    return Certificate(
        rows=rows,
        largest_deviation=float(np.abs(moved).max()),
        rms_deviation=root_mean_square(moved, yardstick.weights),
        **yardstick.details(before, after, rows),
        **told,
    )


def certify(original: Network, reduced: Network, problem: Problem) -> Certificate:
    """Compare the two networks on the test rows; labels are needed for the original's error and the classes alone."""
    part = problem.test
    before, after = (predictions(problem, outputs_of(network, part.x)) for network in (original, reduced))
    return certificate_of(
        yardstick(problem, part),
        before,
        after,
        len(part.x),
        # Whole groups were dealt out, whatever the classes of their rows.
        classes=() if part.groups is not None else _classes(problem, after - before),
        dealt=problem.division.dealt,
        weighted=part.weights is not None,
        repeated=part.count_in(problem.train, problem.validation),
        **count_units(part),
    )


def _classes(problem: Problem, moved: Float[np.ndarray, "n c"]) -> tuple[OfClass, ...]:
    furthest, members = np.abs(moved).max(axis=1), problem.test.y.argmax(axis=1)
    parts = (problem.test, problem.train, problem.validation)
    everything = Split(*(np.concatenate([getattr(part, axis) for part in parts]) for axis in ("x", "y")))
    # Each where it comes first, and so as a held-out one if it is among these too.
    different = everything.different
    seen = everything.y[different].sum(axis=0)
    held_out = everything.y[different[different < len(members)]].sum(axis=0)
    return tuple(
        OfClass(label, int(seen[k]), int(held_out[k]), float(furthest[members == k].max()) if k in members else None)
        for k, label in enumerate(problem.preprocessing.labels)
    )


def _of_any_class(classes: Sequence[OfClass]) -> float:
    """The bound for a new row of any class, derived in docs/reduce.md.

    A class counts with the rows that would be held out if it had one row fewer, as if the new row had been dealt out
    with the others. So what is not held out stands for the classes that these data lack (Good 1953,
    doi:10.1093/biomet/40.3-4.237).
    """
    seen, held_out = (
        np.array(numbers)
        for numbers in zip(*((entry.seen, entry.held_out) for entry in classes if entry.seen), strict=True)
    )
    shares = seen / seen.sum()
    left = np.clip(np.ceil((seen - 1) * held_out.sum() / seen.sum() - 0.5), 0, held_out)
    order = np.argsort(-left / shares, kind="stable")
    shares, left = shares[order], left[order]
    together = np.cumsum(shares)
    alone = np.append(np.cumsum((shares / (left + 1))[::-1])[::-1][1:], 0)
    return float(min(1.0, (together / (together * left / shares + 1) + alone).min()))


def _by_class(classes: Sequence[OfClass], among: int) -> str:
    """The chances for each class, and those without one."""
    held = [entry for entry in classes if entry.held_out]
    without = [repr(entry.label) for entry in classes if not entry.held_out]
    if len(held) <= _MOST_NAMED:
        each = ", ".join(f"{among} in {entry.held_out + 1} for {entry.label!r}" for entry in held)
    else:
        counts = [entry.held_out + 1 for entry in held]
        each = f"{among} in {min(counts)} to {among} in {max(counts)}"
    text = f"Within a class it is at most {each}."
    if not without:
        return text
    others = len(without) - _MOST_NAMED
    named = ", ".join(without[:_MOST_NAMED]) + (f" and {count(others, 'other')}" if others > 0 else "")
    return f"{text} Nothing is guaranteed within {named}, of which no row is held out."
