"""`inspect`: the layers of any model, or of the checkpoints of a training run, one at a time."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from nucleate._arrays import is_whole
from nucleate._wording import name_parameter, shown
from nucleate.activations import Activation, get_activation
from nucleate.errors import ArchitectureError, SpecError
from nucleate.inspection.checkpoints import Checkpoints, rows_at
from nucleate.inspection.inspection import Inspection
from nucleate.inspection.of_source import inspect_source, what_is_unknown
from nucleate.sources.files import find_checkpoints, step_of
from nucleate.sources.objects import open_files, open_model
from nucleate.sources.source import Source


def inspect(
    model: Any,
    inputs: Any = None,
    *,
    reference: Any = None,
    activation: str | Activation | None = None,
    seed: int = 0,
) -> Inspection | Checkpoints:
    """Measure every layer of any model: how condensed it is, beyond what chance makes of its shape.

    Nothing of the model is changed, and nothing is left out in silence: what was not measured stands in ``left_out``.

    Parameters
    ----------
    model : model, path or mapping
        A PyTorch module, a `Network`, a scikit-learn MLP, a Keras model, a dict of arrays or a state dict, a JAX
        pytree; or the path of a ``.safetensors``, ``.npz`` or ``torch.save`` file or of a Hugging Face folder. A
        pattern such as ``"checkpoints/*.safetensors"`` names the checkpoints of a run.
    inputs : array, tensor or dict, optional
        A batch as the model takes it: then what the units do on it is measured too.
    reference : model, path or mapping, optional
        Such as the model at its start: then the relative distance from it is measured too.
    activation : str or Activation, optional
        That of layers of which the model does not say it. It decides whether opposite vectors are one direction (odd
        and even activations) or two; where it is not known they are two.
    seed : int
        Of what is drawn at random: matrices to compare with, and samples of layers with more than 2,000 units.

    Returns
    -------
    Inspection, or of several checkpoints Checkpoints

    Raises
    ------
    NucleateError
        If the model cannot be read, has no layer that can be measured, has weights that are NaN or infinite, or does
        not take the inputs, and if the reference has other shapes.

    Examples
    --------
    >>> import numpy as np
    >>> found = inspect({"w": np.outer([1.0, 3.0, 2.0], np.arange(20))})
    >>> found.table.filter(measure="directions").select("layer", "kind", "units", "value", "null").row(0)
    ('w', 'linear', 3, 1.0, 3.0)
    >>> found
    Inspection of arrays: 1 layer, 0 parameters left out
    layer  kind    units  directions  condensed pairs  stable rank  effective rank  norm
    w      linear      3       1 (3)  100.00% (0.00%)    1.0 (1.5)       1.0 (2.7)   186
    """
    check_seed(seed)
    known = known_activation(activation)
    start = None if reference is None else open_model(reference)
    if isinstance(model, (str, Path)) and len(found := find_checkpoints(model)) > 1:
        if inputs is not None:
            raise ArchitectureError(f"{model} names checkpoints, which have no forward pass; leave the inputs out.")
        return _inspect_checkpoints(str(model), found, start, known, int(seed))
    return inspect_source(open_model(model), inputs, start, known, int(seed))


def check_seed(seed: Any) -> None:
    """Refuse what is no seed of what is drawn."""
    if not is_whole(seed) or seed < 0:
        raise SpecError(f"{name_parameter('seed')} is {shown(seed)}; it must be a whole number, 0 or more.")


def known_activation(activation: Any) -> Activation | None:
    """The activation by its name or itself, of layers of which the model does not say it."""
    known = get_activation(activation) if isinstance(activation, str) else activation
    if known is not None and not isinstance(known, Activation):
        raise SpecError(
            f"{name_parameter('activation')} is {shown(known)}; give a name such as 'tanh', or an Activation."
        )
    return known


def _inspect_checkpoints(
    name: str, found: Sequence[Sequence[Path]], start: Source | None, activation: Activation | None, seed: int
) -> Checkpoints:
    """Each checkpoint by itself, so that no two are in memory but the first, from which the distance is measured.

    That may be from another reference instead. Checkpoints of other shapes or layers than the first are refused.
    """
    tables, left_out, pictures = [], [], []
    notes: dict[str, None] = {}
    steps = _steps(found)
    if steps is None:
        steps = tuple(range(len(found)))
        notes["The names of the checkpoints tell no steps, so these are their places in the order that is read."] = None
    first = open_files(found[0])
    for files, step in zip(found, steps, strict=True):
        source = first if files is found[0] else open_files(files)
        _compare(first, source)
        inspected = inspect_source(source, None, start or first, activation, seed)
        tables.append(rows_at(step, inspected))
        left_out.append(inspected.left_out)
        pictures.append(inspected.pictures)
        notes |= dict.fromkeys(source.notes())
    table, out = pl.concat(tables), pl.concat(left_out).unique(maintain_order=True)
    # Which layers lack what differs from step to step; it is said once of all.
    said = (*what_is_unknown(first, activation, table), *notes)
    return Checkpoints(name, table, out, said, steps, tuple(pictures))


def _steps(found: Sequence[Sequence[Path]]) -> tuple[int, ...] | None:
    """The steps in the names, where they tell the checkpoints apart and rise."""
    told = [step_of(files) for files in found]
    known = tuple(step for step in told if step is not None)
    rise = len(known) == len(found) and all(one < two for one, two in pairwise(known))
    return known if rise else None


def _compare(first: Source, other: Source) -> None:
    ours, theirs = ({one.name: one.shape for one in source.parameters} for source in (first, other))
    # What both have first: another shape says more than another layer.
    for name in sorted({**ours, **theirs}, key=lambda name: name not in ours or name not in theirs):
        shapes = ours.get(name), theirs.get(name)
        if shapes[0] != shapes[1]:
            told = [f"shape {shape}" if shape is not None else "no place" for shape in shapes]
            raise ArchitectureError(
                f"{name} has {told[0]} in {first.name} and {told[1]} in {other.name}; name checkpoints of one model by "
                "the pattern."
            )
