"""The snapshots of one run as one safetensors file."""

from collections.abc import Mapping, Sequence

import numpy as np
from safetensors.numpy import save

from nucleate.observe import Snapshot

_FAMILIES = ("directions", "amplitudes", "singular_values")


def snapshots_to_bytes(snapshots: Sequence[Snapshot]) -> bytes:
    """A tensor of all steps for each family and layer: ``directions.1``, ``amplitudes.1``, ..."""
    tensors = {"steps": np.stack([taken.step for taken in snapshots])}
    for family in _FAMILIES:
        for layer, values in enumerate(zip(*(getattr(taken, family) for taken in snapshots), strict=True), start=1):
            tensors[f"{family}.{layer}"] = np.stack(values)
    return save(tensors)


def snapshots_from(tensors: Mapping[str, np.ndarray]) -> list[Snapshot]:
    """The snapshots of these tensors, in the order of the steps."""
    layers = range(1, 1 + sum(name.startswith("directions.") for name in tensors))
    return [
        Snapshot(step, *(tuple(tensors[f"{family}.{layer}"][index] for layer in layers) for family in _FAMILIES))
        for index, step in enumerate(tensors["steps"])
    ]
