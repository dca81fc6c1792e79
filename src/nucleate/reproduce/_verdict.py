"""What is kept of an experiment: the verdict, as a JSON file beside the figure."""

import json
import math
from dataclasses import asdict, dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, Self

import matplotlib
from matplotlib.figure import Figure

from nucleate._files import write_atomically
from nucleate.reproduce._experiment import Criterion, Experiment

FORMATS = ("svg", "pdf", "png")


class Finding(NamedTuple):
    """A measured number and the criterion it was held against."""

    criterion: Criterion
    number: float

    @property
    def holds(self) -> bool:
        """Whether the number meets the criterion."""
        return self.criterion.met_by(self.number)

    def __str__(self) -> str:
        quantity, relation, threshold = self.criterion
        met = "met" if self.holds else "not met"
        return f"{quantity}: {self.number:.4g} ({relation} {threshold:g}: {met})"


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
    figure: Path

    @property
    def holds(self) -> bool:
        """Whether every finding meets its criterion."""
        return all(finding.holds for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which has no NaN: None stands for it."""
        findings = [
            {**criterion._asdict(), "number": None if math.isnan(number) else number, "holds": criterion.met_by(number)}
            for criterion, number in self.findings
        ]
        return {**asdict(self), "holds": self.holds, "findings": findings, "figure": self.figure.name}

    def __str__(self) -> str:
        found = "; ".join(map(str, self.findings))
        return f"{self.name} {'holds' if self.holds else 'does not hold'}: {found}"

    @classmethod
    def of(cls, experiment: Experiment[Any], numbers: tuple[float, ...], out: Path, *, quick: bool) -> Self:
        """The verdict on these numbers."""
        return cls(
            name=experiment.name,
            claim=experiment.claim,
            source=experiment.source,
            setting=experiment.describe(quick=quick),
            findings=tuple(Finding(*pair) for pair in zip(experiment.criteria, numbers, strict=True)),
            quick=quick,
            version=version("nucleate"),
            figure=out / f"{experiment.name}.svg",
        )


def keep(verdict: Verdict, figure: Figure) -> None:
    """Write the figure in all formats, and last the verdict: where it is, the experiment is finished."""
    for format in FORMATS:
        write_atomically(verdict.figure.with_suffix(f".{format}"), _drawn(figure, format))
    text = json.dumps(verdict.to_dict(), indent=2, ensure_ascii=False)
    write_atomically(verdict.figure.with_suffix(".json"), text.encode())


def find(experiment: Experiment[Any], out: Path, *, quick: bool) -> Verdict | None:
    """The verdict kept in ``out`` for this very experiment, size and version, if there is one."""
    try:
        kept = json.loads((out / f"{experiment.name}.json").read_text("utf-8"))
        found = [finding["number"] for finding in kept["findings"]]
        numbers = tuple(math.nan if number is None else float(number) for number in found)
        verdict = Verdict.of(experiment, numbers, out, quick=quick)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    figures = all(verdict.figure.with_suffix(f".{format}").exists() for format in FORMATS)
    return verdict if figures and json.dumps(kept) == json.dumps(verdict.to_dict()) else None


def _drawn(figure: Figure, format: str) -> bytes:
    buffer = BytesIO()
    # Without the date, and with fixed ids, equal figures are equal files.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[format]
    with matplotlib.rc_context({"svg.hashsalt": "nucleate", "pdf.fonttype": 42}):
        figure.savefig(buffer, format=format, dpi=200, metadata=metadata)
    return buffer.getvalue()
