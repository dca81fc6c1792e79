"""Files of a reduced network, each run again and held against the network before anyone relies on it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import softmax

from nucleate._files import write_atomically
from nucleate.errors import NucleateError, SpecError
from nucleate.exports.graph import Session, onnx_bytes, raw_rows
from nucleate.network import Network
from nucleate.problems import Preprocessing, Problem
from nucleate.reduction.reduction import BeforeAfter, Reduction
from nucleate.reduction.tolerance import outputs_of

_TIMED_ROWS = 1024
_ROUNDING = 1e-3
"""What float32 may cost, in standard deviations of the target or in probability; more is a fault."""


@dataclass(frozen=True)
class Export:
    """A file that was written and run.

    ``largest_difference`` is that between what the file answers on ``rows`` test rows and what the network does, in the
    target's own units or in probabilities.
    """

    path: Path
    rows: int
    largest_difference: float

    def __str__(self) -> str:
        return f"{self.path}: answers as the network does on {self.rows} rows, to {self.largest_difference:.1g}"


def check_export_path(path: str | Path) -> Path:
    """The path, if a file can go there.

    Raises
    ------
    SpecError
        If it ends neither in .onnx nor in .safetensors, or its folder does not exist.
    """
    path = Path(path)
    if path.suffix not in (".onnx", ".safetensors"):
        raise SpecError(f"The file {path} ends in {path.suffix or 'nothing'!r}; expected .onnx or .safetensors.")
    if not path.parent.is_dir():
        raise SpecError(f"The folder {path.parent} for {path.name} does not exist; make it, or choose another.")
    return path


def export(reduction: Reduction, problem: Problem, path: str | Path) -> Export:
    """Write the reduced network to a .onnx or .safetensors file, run the file on the test rows, and compare.

    An ONNX file has the standardization and the labels inside and takes raw rows; both kinds say in their metadata what
    was guaranteed.

    Raises
    ------
    SpecError
        As `check_export_path`.
    ArchitectureError
        For an activation that has no ONNX form.
    NucleateError
        If the path cannot be written, or the file does not answer as the network does.
    """
    path = check_export_path(path)
    says = guarantee(reduction)
    expected = _answer(reduction.preprocessing, outputs_of(reduction.network, problem.test))
    if path.suffix == ".onnx":
        write_atomically(path, onnx_bytes(reduction.network, reduction.preprocessing, says))
        answers = Session(path.read_bytes())(raw_rows(reduction.preprocessing, problem.test.x))
        got = answers["prediction" if problem.task == "regression" else "probabilities"]
    else:
        reduction.network.save(path, says | {"preprocessing": reduction.preprocessing.to_json()})
        got = _answer(reduction.preprocessing, outputs_of(Network.load(path), problem.test))
    difference = float(np.abs(got - expected).max())
    unit = max(column.std for column in reduction.preprocessing.targets)
    if not difference <= _ROUNDING * unit:
        path.unlink()
        raise NucleateError(
            f"The file {path} departs from the network by {difference:.2g}, so it was deleted; please report this."
        )
    return Export(path, len(expected), difference)


def time_inference(reduction: Reduction, problem: Problem) -> Reduction:
    """The reduction with the time that onnxruntime takes for 1024 rows on one thread, before and after.

    Raises
    ------
    ArchitectureError
        For an activation that has no ONNX form.
    """
    places = np.resize(np.arange(len(problem.test.x)), _TIMED_ROWS)
    rows = raw_rows(reduction.preprocessing, problem.test.x[places])
    networks = (reduction.original, reduction.network)
    seconds = (Session(onnx_bytes(network, reduction.preprocessing, {})).seconds(rows) for network in networks)
    return replace(reduction, inference=BeforeAfter(*seconds))


def guarantee(reduction: Reduction) -> dict[str, str]:
    """What is kept with an exported file: where it comes from, and how sure it is."""
    return {
        "problem": reduction.problem,
        "data_hash": reduction.data_hash,
        "method": reduction.method,
        "tolerance": f"{reduction.tolerance:g}",
        "hidden": json.dumps({"before": reduction.hidden.before, "after": reduction.hidden.after}),
        f"test_{reduction.metric_name}": json.dumps({"before": reduction.test.before, "after": reduction.test.after}),
        "certificate": str(reduction.certificate),
        "bound": "" if reduction.bound is None else f"{reduction.bound.value:.6g}, {reduction.bound.kind}",
    }


def _answer(preprocessing: Preprocessing, outputs: np.ndarray) -> np.ndarray:
    if preprocessing.task == "classification":
        return np.asarray(softmax(outputs, axis=1))
    return preprocessing.inverse_target(outputs)
