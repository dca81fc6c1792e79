"""What a reduction is, whoever made it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from nucleate import exports
from nucleate._wording import card, count, in_digits, say_share
from nucleate.baselines import Baseline
from nucleate.models import count_parameters
from nucleate.network import Network
from nucleate.problems import Metric, Preprocessing, Problem
from nucleate.reduction.certificate import Certificate
from nucleate.reduction.layers import Bound
from nucleate.reduction.merging import Groups

T = TypeVar("T")


@dataclass(frozen=True)
class BeforeAfter(Generic[T]):
    """A quantity of the original network and of the reduced one.

    Parameters
    ----------
    before, after
    """

    before: T
    after: T


@dataclass(frozen=True, eq=False)
class Reduction:
    """A network, the smaller one that does its work, and how sure that is.

    Parameters
    ----------
    problem, data_hash : str
        The data's name and hash.
    method : str
        The name of the `Method`.
    tolerance : float
        The relative change of the metric that was allowed on validation.
    metric : Metric
        What networks were judged by; of a reduction that was read from a folder without its function.
    original, network : Network
    preprocessing : Preprocessing
    validation, test : BeforeAfter of float
        The metric; on the test rows it was computed once, after the search.
    certificate : Certificate
        The primary guarantee.
    bound : Bound or None
        The secondary one, of the methods that have one.
    groups : tuple of Groups
        The original's neurons by what they do on the training inputs: which of them act as one.
    baselines : tuple of Baseline
        The best constant, a linear model and a narrow network of the same widths, each held against ``network``.
    further : BeforeAfter of dict of str to float
        The loss's further metrics on the test rows, by their names.
    run : int or None
        Of the study it was made from.
    inference : BeforeAfter of float, or None
        Seconds for 1024 rows on one thread, by onnxruntime; None where it was not measured.
    """

    problem: str
    data_hash: str
    method: str
    tolerance: float
    metric: Metric
    original: Network
    network: Network
    preprocessing: Preprocessing
    validation: BeforeAfter[float]
    test: BeforeAfter[float]
    certificate: Certificate
    bound: Bound | None
    groups: tuple[Groups, ...]
    baselines: tuple[Baseline, ...] = ()
    further: BeforeAfter[dict[str, float]] = BeforeAfter({}, {})
    run: int | None = None
    inference: BeforeAfter[float] | None = None

    @property
    def metric_name(self) -> str:
        """The name of the metric."""
        return self.metric.name

    @property
    def hidden(self) -> BeforeAfter[tuple[int, ...]]:
        """The hidden widths."""
        return BeforeAfter(self.original.hidden, self.network.hidden)

    @property
    def parameters(self) -> BeforeAfter[int]:
        """How many weights and biases."""
        return BeforeAfter(count_parameters(self.original), count_parameters(self.network))

    @property
    def share_kept(self) -> float:
        """The share of the parameters that is left."""
        return self.parameters.after / self.parameters.before

    def export(self, problem: Problem, path: str | Path) -> "exports.Export":
        """Write the reduced network to a file that says what was guaranteed: `nucleate.export` with `guarantee`.

        Parameters
        ----------
        problem : Problem
            What it was reduced on.
        path : path
            Of a .onnx or a .safetensors file.

        Returns
        -------
        Export

        Raises
        ------
        NucleateError
            As `nucleate.export`.
        """
        return exports.export(self.network, problem, path, guarantee(self))

    def _repr_html_(self) -> str:
        rows = {
            "hidden widths": f"{_joined(self.hidden.before)} → {_joined(self.hidden.after)}",
            "parameters": f"{self.parameters.before:,} → {self.parameters.after:,} ({say_share(self.share_kept)})",
            f"test {self.metric_name}": f"{in_digits(self.test.before, 5)} → {in_digits(self.test.after, 5)}",
            "method": f"{self.method}, within {100 * self.tolerance:g} % on validation",
        }
        return card(f"Reduction for {self.problem}", rows)

    def __repr__(self) -> str:
        return f"Reduction({_joined(self.hidden.before)} to {_joined(self.hidden.after)}, {self.method})"

    @property
    def is_faster(self) -> bool:
        """Whether inference is faster by a tenth at least; timings of the same network differ by some percent."""
        return self.inference is not None and self.inference.before >= 1.1 * self.inference.after

    def __str__(self) -> str:
        lines = [
            f"{self.problem}: hidden widths {_joined(self.hidden.before)} become {_joined(self.hidden.after)}, "
            f"{self.parameters.before} parameters become {self.parameters.after} ({say_share(self.share_kept)}), "
            f"by {self.method} within {100 * self.tolerance:g} % on validation.",
            f"Test {self.metric_name}: {in_digits(self.test.before, 5)} before, {in_digits(self.test.after, 5)} after"
            + "".join(
                f"; {baseline.name} of {count(baseline.parameters, 'parameter')} {in_digits(baseline.test, 5)}"
                for baseline in self.baselines
            )
            + ".",
        ]
        for name in self.further.after:
            before, after = (in_digits(one[name], 5) for one in (self.further.before, self.further.after))
            beside = "".join(f"; {baseline.name} {in_digits(baseline.further[name], 5)}" for baseline in self.baselines)
            lines.append(f"Test {name}: {before} before, {after} after{beside}.")
        compared = [
            f"the {baseline.name}{_of_seeds(baseline.comparison.seeds[1])} {baseline.comparison}"
            for baseline in self.baselines
            if baseline.comparison
        ]
        if compared:
            lines.append(f"Against the reduced network, by {self.metric_name} on the test rows: {'; '.join(compared)}.")
        lines.append(str(self.certificate))
        if self.bound is not None:
            lines.append(
                f"By the method itself, outputs move by at most {self.bound.value:.3g} before link and units "
                f"({self.bound.kind})."
            )
        if self.inference is not None:
            slow, fast = 1e3 * self.inference.before, 1e3 * self.inference.after
            lines.append(
                f"1024 rows on one thread take {slow:.3g} ms before and {fast:.3g} ms after, "
                + (f"{slow / fast:.2g} times as fast." if self.is_faster else "which is not faster.")
            )
        lines.append(f"Seen as what they do, {'; '.join(map(str, self.groups))}.")
        return "\n".join(lines)


def _of_seeds(seeds: int) -> str:
    return f" (mean of {seeds} seeds)" if seeds > 1 else ""


def guarantee(reduction: Reduction) -> dict[str, str]:
    """What is kept with a file of the reduced network: where it comes from, and how sure it is.

    Parameters
    ----------
    reduction : Reduction

    Returns
    -------
    dict of str to str
        To be the metadata of `nucleate.export`.
    """
    return {
        "problem": reduction.problem,
        "data_hash": reduction.data_hash,
        "method": reduction.method,
        "tolerance": f"{reduction.tolerance:g}",
        "hidden": json.dumps({"before": reduction.hidden.before, "after": reduction.hidden.after}),
        f"test_{reduction.metric_name}": json.dumps({"before": reduction.test.before, "after": reduction.test.after}),
        **reduction.certificate.metadata,
        "bound": "" if reduction.bound is None else f"{reduction.bound.value:.6g}, {reduction.bound.kind}",
    }


def _joined(widths: tuple[int, ...]) -> str:
    return ",".join(map(str, widths))
