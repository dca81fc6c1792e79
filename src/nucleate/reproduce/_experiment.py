"""What an experiment is: a claim, how it is measured, and the thresholds that decide, set before any measurement."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from matplotlib.figure import Figure

Progress = Callable[[float], None]
"""Told the share of an experiment that is done."""


class Criterion(NamedTuple):
    """One number that the claim bounds.

    Examples
    --------
    >>> rank = Criterion("effective rank", "at most", 1.1)
    >>> rank.met_by(1.05), rank.met_by(1.2), rank.met_by(float("nan"))
    (True, False, False)
    """

    quantity: str
    relation: Literal["at least", "at most"]
    threshold: float

    def met_by(self, number: float) -> bool:
        """Whether the claim holds at this number; no claim holds at NaN."""
        return number >= self.threshold if self.relation == "at least" else number <= self.threshold


class Measurement(NamedTuple):
    """What an experiment found: a number for each of its criteria, in their order, and a figure that shows why."""

    numbers: tuple[float, ...]
    figure: Figure


class Size(Protocol):
    """The numbers of a setting: a NamedTuple of each experiment's own."""

    def _asdict(self) -> Mapping[str, Any]: ...


S = TypeVar("S", bound=Size)


@dataclass(frozen=True)
class Experiment(Generic[S]):
    """A claim of the literature and the measurement that decides it.

    Parameters
    ----------
    name : str
    claim : str
        One sentence.
    source : str
        Authors, year and arXiv id.
    setting : str
        What is done, with the fields of a size in braces.
    criteria : tuple of Criterion
        The claim holds if every one is met.
    quick, full : NamedTuple
        The numbers of the setting at both sizes.
    measure : callable
        From a size, and a function that is told the share done, to a `Measurement`; the same numbers at every call.
    """

    name: str
    claim: str
    source: str
    setting: str
    criteria: tuple[Criterion, ...]
    quick: S
    full: S
    measure: Callable[[S, Progress], Measurement] = field(repr=False)

    def size(self, *, quick: bool) -> S:
        """The numbers of the setting."""
        return self.quick if quick else self.full

    def describe(self, *, quick: bool) -> str:
        """The setting with its numbers filled in."""
        return self.setting.format(**self.size(quick=quick)._asdict())

    def to_dict(self) -> dict[str, Any]:
        """For JSON: what is claimed, and what at each size decides it."""
        return {
            "name": self.name,
            "claim": self.claim,
            "source": self.source,
            "quick": self.describe(quick=True),
            "full": self.describe(quick=False),
            "criteria": [criterion._asdict() for criterion in self.criteria],
        }
