"""A claim, the measurement that decides it, and the verdict, kept as a JSON file beside the figure."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, Protocol, Self, TypeVar, get_args

from matplotlib.figure import Figure

from nucleate._arrays import is_real
from nucleate._files import read_file, read_json, write_atomically, write_json
from nucleate._fingerprints import fingerprint
from nucleate._wording import say_error
from nucleate.errors import SpecError
from nucleate.figures.style import FORMATS, to_bytes

Relation = Literal["at least", "at most"]
"""Of a measured number to a threshold."""
ShareDone = Callable[[float], None]
"""Told the share of an experiment that is done."""
NOT_COMPUTED = "could not be computed"
"""What is said of a claim whose number is NaN: it is neither met nor missed."""


@dataclass(frozen=True)
class Criterion:
    """One number that the claim bounds.

    Parameters
    ----------
    quantity : str
        What is measured.
    relation : {"at least", "at most"}
    threshold : float

    Examples
    --------
    >>> rank = Criterion("effective rank", "at most", 1.1)
    >>> rank.met_by(1.05), rank.met_by(1.2), rank.met_by(float("nan"))
    (True, False, False)
    """

    quantity: str
    relation: Relation
    threshold: float

    def __post_init__(self) -> None:
        if not isinstance(self.quantity, str) or not self.quantity:
            raise SpecError(
                f"The quantity of a criterion is {self.quantity!r:.60}; give a text that says what is measured."
            )
        if self.relation not in get_args(Relation):
            raise SpecError(
                f"The criterion {self.quantity!r} has the relation {self.relation!r}; it must be 'at least' or "
                "'at most'."
            )
        threshold: Any = self.threshold
        if not is_real(threshold) or math.isnan(threshold):
            raise SpecError(
                f"The criterion {self.quantity!r} has the threshold {self.threshold!r}; it must be a number, not NaN."
            )

    def met_by(self, number: float) -> bool:
        """Whether the claim holds at this number; no claim holds at NaN.

        Parameters
        ----------
        number : float
            That was measured.

        Returns
        -------
        bool
        """
        return number >= self.threshold if self.relation == "at least" else number <= self.threshold


class Measurement(NamedTuple):
    """What an experiment found.

    Parameters
    ----------
    numbers : tuple of float
        One for each criterion, in their order.
    figure : matplotlib Figure
        That shows why.
    """

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

    Examples
    --------
    >>> from nucleate.figures import panels
    >>> class Size(NamedTuple):
    ...     throws: int
    >>> def measure(size, progress):
    ...     sixes = sum(throw % 6 == 0 for throw in range(size.throws))
    ...     progress(1.0)
    ...     figure, (panel,) = panels(1)
    ...     panel.bar(["six", "other"], [sixes, size.throws - sixes])
    ...     return Measurement((sixes / size.throws,), figure)
    >>> fair = Experiment(
    ...     name="fair-die",
    ...     claim="A die shows a six in one of six throws.",
    ...     source="folklore",
    ...     setting="{throws} throws",
    ...     criteria=(Criterion("share of sixes", "at most", 0.17),),
    ...     quick=Size(60),
    ...     full=Size(60_000),
    ...     measure=measure,
    ... )
    >>> fair.describe(quick=True)
    '60 throws'
    """

    name: str
    claim: str
    source: str
    setting: str
    criteria: tuple[Criterion, ...]
    quick: S
    full: S
    measure: Callable[[S, ShareDone], Measurement] = field(repr=False)

    def __post_init__(self) -> None:
        name = self.name
        if not isinstance(name, str) or not name.strip(".") or set(name) & {"/", "\\", "\0"}:
            raise SpecError(
                f"An experiment's name is {name!r}, but files are named by it; use letters, digits, - and _."
            )
        if not isinstance(self.criteria, Sequence) or not all(isinstance(one, Criterion) for one in self.criteria):
            raise SpecError(f"The criteria of the experiment {name!r} must be a tuple of Criterion objects.")
        if not self.criteria:
            raise SpecError(f"The experiment {name!r} has no criteria, so nothing decides it; give it one Criterion.")
        for what in ("claim", "source", "setting"):
            if not isinstance(getattr(self, what), str):
                raise SpecError(f"The {what} of the experiment {name!r} is {getattr(self, what)!r:.60}; give a text.")
        if not callable(self.measure):
            raise SpecError(f"What the experiment {name!r} measures is {self.measure!r}; give measure(size, progress).")
        for size in (self.quick, self.full):
            try:
                self.setting.format(**size._asdict())
            except (AttributeError, LookupError, ValueError, TypeError) as error:
                raise SpecError(
                    f"The setting {self.setting!r} of the experiment {name!r} cannot be filled in from {size!r} "
                    f"({say_error(error)}); give sizes that are NamedTuples with its fields."
                ) from None

    def size(self, *, quick: bool) -> S:
        """The numbers of the setting.

        Parameters
        ----------
        quick : bool
            Whether that of the quick run, or the full one.

        Returns
        -------
        NamedTuple
        """
        return self.quick if quick else self.full

    def describe(self, *, quick: bool) -> str:
        """The setting with its numbers filled in.

        Parameters
        ----------
        quick : bool
            Whether that of the quick run, or the full one.

        Returns
        -------
        str
        """
        return self.setting.format(**self.size(quick=quick)._asdict())

    def to_dict(self) -> dict[str, Any]:
        """For JSON: what is claimed, and what at each size decides it.

        Returns
        -------
        dict
        """
        return {
            "name": self.name,
            "claim": self.claim,
            "source": self.source,
            "quick": self.describe(quick=True),
            "full": self.describe(quick=False),
            "criteria": [asdict(criterion) for criterion in self.criteria],
        }


class Finding(NamedTuple):
    """A measured number and the criterion it was held against.

    Parameters
    ----------
    criterion : Criterion
    number : float
    """

    criterion: Criterion
    number: float

    @property
    def holds(self) -> bool:
        """Whether the number meets the criterion."""
        return self.criterion.met_by(self.number)

    @property
    def said(self) -> str:
        """Whether the number meets the criterion, in words; NaN is no number that could miss it."""
        return NOT_COMPUTED if math.isnan(self.number) else "met" if self.holds else "not met"

    def __str__(self) -> str:
        one = self.criterion
        return f"{one.quantity}: {self.number:.4g} ({one.relation} {one.threshold:g}: {self.said})"


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds, and by which numbers.

    Parameters
    ----------
    name, claim, source, setting : str
        As in `Experiment`, the setting with its numbers filled in.
    findings : tuple of Finding
    quick : bool
        Whether it was measured at the quick size.
    version : str
        Of the package that measured it.
    definition : str
        A fingerprint of what measured it, so that a verdict is not taken for that of another measurement.
    figure : Path
        The figure as SVG; as PDF and PNG it is beside.
    """

    name: str
    claim: str
    source: str
    setting: str
    findings: tuple[Finding, ...]
    quick: bool
    version: str
    definition: str
    figure: Path

    @property
    def holds(self) -> bool:
        """Whether every finding meets its criterion."""
        return all(finding.holds for finding in self.findings)

    @property
    def is_decided(self) -> bool:
        """Whether the numbers tell: none is NaN, or one of the others misses its threshold."""
        return self.holds or any(not finding.holds for finding in self.findings if not math.isnan(finding.number))

    @property
    def said(self) -> str:
        """The verdict in words."""
        return "holds" if self.holds else "does not hold" if self.is_decided else NOT_COMPUTED

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which has no NaN: None stands for it, and for whether what it is held against holds.

        Returns
        -------
        dict
        """
        findings = [
            {**asdict(one.criterion), "number": None, "holds": None}
            if math.isnan(one.number)
            else {**asdict(one.criterion), "number": one.number, "holds": one.holds}
            for one in self.findings
        ]
        holds = self.holds if self.is_decided else None
        return {**asdict(self), "holds": holds, "findings": findings, "figure": self.figure.name}

    def __str__(self) -> str:
        found = "; ".join(map(str, self.findings))
        return f"{self.name} {self.said}: {found}"

    @classmethod
    def of(cls, experiment: Experiment[Any], numbers: tuple[float, ...], out: Path, *, quick: bool) -> Self:
        """The verdict on these numbers.

        Parameters
        ----------
        experiment : Experiment
        numbers : tuple of float
            One for each criterion, in their order.
        out : Path
            The folder of the figure.
        quick : bool
            At which size they were measured.

        Returns
        -------
        Verdict

        Raises
        ------
        SpecError
            If there is not one for each criterion.
        """
        if len(numbers) != len(experiment.criteria):
            raise SpecError(
                f"The experiment {experiment.name!r} measured {len(numbers)} numbers for {len(experiment.criteria)} "
                "criteria; return one for each."
            )
        return cls(
            name=experiment.name,
            claim=experiment.claim,
            source=experiment.source,
            setting=experiment.describe(quick=quick),
            findings=tuple(
                Finding(one, float(number)) for one, number in zip(experiment.criteria, numbers, strict=True)
            ),
            quick=quick,
            version=version("nucleate"),
            definition=fingerprint(experiment.measure),
            figure=out / f"{experiment.name}.svg",
        )


def save_verdict(verdict: Verdict, figure: Figure) -> None:
    """Write the figure in all formats, then the verdict with their hashes: where it is, the experiment is finished."""
    drawn = {format: to_bytes(figure, format) for format in FORMATS}
    for format, content in drawn.items():
        write_atomically(verdict.figure.with_suffix(f".{format}"), content)
    hashes = {format: _hash(content) for format, content in drawn.items()}
    write_json(verdict.figure.with_suffix(".json"), verdict.to_dict() | {"figures": hashes})


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def load_verdict(experiment: Experiment[Any], out: Path, *, quick: bool) -> Verdict | None:
    """The verdict in ``out`` for this very experiment, measurement, size and version, if its figure is there too."""
    try:
        kept = read_json(out / f"{experiment.name}.json")
        figures = kept.pop("figures")
        found = [finding["number"] for finding in kept["findings"]]
        numbers = tuple(math.nan if number is None else float(number) for number in found)
        verdict = Verdict.of(experiment, numbers, out, quick=quick)
        # An interruption, or another process, may have left the figure of another size.
        drawn = {format: _hash(read_file(verdict.figure.with_suffix(f".{format}"))) for format in FORMATS}
    except (OSError, ValueError, KeyError, TypeError, SpecError):
        return None
    return verdict if figures == drawn and json.dumps(kept) == json.dumps(verdict.to_dict()) else None
