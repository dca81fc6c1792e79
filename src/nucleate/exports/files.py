"""Files of a network, each run again and held against the network before anyone relies on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nucleate._files import check_file, write_atomically
from nucleate._wording import say_error
from nucleate.activations import activation_names
from nucleate.errors import NucleateError, SpecError
from nucleate.exports.graph import onnx_bytes, raw_rows, say_forms
from nucleate.exports.session import Session
from nucleate.models import outputs_of
from nucleate.network import Network
from nucleate.problems import Loss, Problem
from nucleate.training.checks import check_fit

_TIMED_ROWS = 1024
_ROUNDING = 1e-3
"""What float32 may cost, in standard deviations of the predictions or in probability; more is a fault."""


@dataclass(frozen=True)
class Export:
    """A file that was written and run.

    Parameters
    ----------
    path : Path
    rows : int
        How many test rows it was run on.
    largest_difference : float
        Between what the file answers on them and what the network does, in the target's own unit or in probabilities;
        of several targets in standard deviations of each.
    several : bool
        Whether it is of several targets.
    """

    path: Path
    rows: int
    largest_difference: float
    several: bool = False

    def __str__(self) -> str:
        unit = " standard deviations of each target" if self.several else ""
        return f"{self.path}: answers as the network does on {self.rows} rows, to {self.largest_difference:.1g}{unit}"


def check_export_path(path: str | Path) -> Path:
    """The path, if a file can go there.

    A SpecError is one that ends neither in .onnx nor in .safetensors, or whose folder does not exist; a NucleateError
    one that cannot be written, or is a folder or a device.
    """
    if not isinstance(path, str | PathLike):
        raise SpecError(f"The file is {path!r:.60}; give a path that ends in .onnx or .safetensors.")
    path = Path(path)
    if path.suffix not in (".onnx", ".safetensors"):
        raise SpecError(f"The file {path} ends in {path.suffix or 'nothing'!r}; expected .onnx or .safetensors.")
    if not path.parent.is_dir():
        raise SpecError(f"The folder {path.parent} for {path.name} does not exist; make it, or choose another.")
    check_file(path)
    return path


def export(network: Network, problem: Problem, path: str | Path, metadata: Mapping[str, str] | None = None) -> Export:
    """Write a network to a .onnx or .safetensors file, run the file on the test rows, and compare.

    An ONNX file has the standardization and the labels inside and takes raw rows; a safetensors file has the
    preprocessing in its metadata.

    Parameters
    ----------
    network : Network
    problem : Problem
        What it was trained on: its preprocessing, its loss, and the rows that the file is run on.
    path : path
    metadata : mapping of str to str, optional
        Kept in the file; `nucleate.reduction.guarantee` makes what a reduction says of itself.

    Returns
    -------
    Export

    Raises
    ------
    SpecError
        As `check_export_path`; and for a model that is not a `Network`, or does not fit the problem.
    ArchitectureError
        For an ONNX file, if the activation or the loss's link has no ONNX form.
    NucleateError
        If the path cannot be written, or the file does not answer as the network does.

    Examples
    --------
    >>> import tempfile
    >>> from nucleate import InitScale, load_problem
    >>> problem = load_problem("sine-5d")
    >>> network = Network.create(5, [20], 1, scale=InitScale("gain", 1.0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(network, problem, f"{folder}/network.onnx").largest_difference < 1e-5
    True
    """
    path = check_export_path(path)
    _check_network(network, problem)
    preprocessing, loss = problem.preprocessing, problem.loss
    expected = problem.predict(outputs_of(network, problem.test.x))
    if path.suffix == ".onnx":
        write_atomically(path, onnx_bytes(network, preprocessing, loss, metadata))
        answers = _answers(path, network, problem)
    else:
        network.save(path, {**(metadata or {}), "preprocessing": preprocessing.to_json(), "loss": loss.name})
        # By the name that it keeps; one that is not registered is given to whoever loads the file.
        own = None if network.activation.name in activation_names() else network.activation
        answers = problem.predict(outputs_of(Network.load(path, own), problem.test.x))
    differences, several = np.abs(answers - expected), expected.shape[1] > 1 and not loss.of_classes
    in_spreads = differences / np.maximum(preprocessing.units, expected.std(axis=0))
    difference = float((in_spreads if several else differences).max())
    if not (in_spreads <= _ROUNDING).all():
        path.unlink()
        raise NucleateError(
            f"The file {path} departs from the network by {difference:.2g}, so it was deleted; "
            f"{_remedy(network, loss, path.suffix)}."
        )
    return Export(path, len(expected), difference, several)


def _answers(path: Path, network: Network, problem: Problem) -> Float[np.ndarray, "n c"]:
    """What an ONNX file answers to the test rows."""
    try:
        # As they stood in the file, or, where these are not kept, rows that encode to the same.
        rows = raw_rows(problem.preprocessing, problem.test.x) if problem.test_rows is None else problem.test_rows
        answers = Session(path.read_bytes()).predictions(rows)
        if answers.shape == (len(problem.test.x), answers.shape[-1]):
            return answers
        said = f"it gives an array of shape {answers.shape} for {len(problem.test.x)} rows"
    except NucleateError:
        raise
    except Exception as error:
        said = say_error(error)[:160]
    path.unlink()
    remedy = _remedy(network, problem.loss, path.suffix)
    raise NucleateError(f"The file {path} cannot be run ({said}), so it was deleted; {remedy}.")


def _remedy(network: Network, loss: Loss, suffix: str) -> str:
    own = not network.activation.is_built_in
    if suffix == ".safetensors" and own:
        return (
            f"another activation has been registered by the name {network.activation.name!r}, which is all that the "
            "file keeps of it, since the network was made: make the network of that, or register its own again"
        )
    if not own and loss.link.is_built_in:
        return "please report this"
    return f"the ONNX form of {say_forms(network, loss)} does something else than its function: correct it"


def time_inference(network: Network, problem: Problem) -> float:
    """The seconds that onnxruntime takes for 1024 rows on one thread, the median of 30 calls.

    Parameters
    ----------
    network : Network
    problem : Problem

    Returns
    -------
    float

    Raises
    ------
    SpecError
        For a model that is not a `Network`, or does not fit the problem.
    ArchitectureError
        If the activation or the loss's link has no ONNX form.

    Examples
    --------
    >>> from nucleate import InitScale, load_problem
    >>> network = Network.create(5, [20], 1, scale=InitScale("gain", 1.0))
    >>> 0 < time_inference(network, load_problem("sine-5d")) < 1
    True
    """
    _check_network(network, problem)
    places = np.resize(np.arange(len(problem.test.x)), _TIMED_ROWS)
    rows = raw_rows(problem.preprocessing, problem.test.x[places])
    return Session(onnx_bytes(network, problem.preprocessing, problem.loss)).seconds(rows)


def _check_network(network: Network, problem: Problem) -> None:
    if not isinstance(network, Network):
        raise SpecError(
            f"A {type(network).__name__} cannot be exported, for files are of fully connected networks; give a "
            "nucleate.Network."
        )
    check_fit(network, problem)
