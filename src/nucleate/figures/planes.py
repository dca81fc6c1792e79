"""Neurons in a plane that stands still over a run, so that they are seen to turn."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nucleate.observe import Snapshot


def in_plane(
    snapshots: Sequence[Snapshot], layer: int
) -> tuple[Float[np.ndarray, "snapshots k 2"], Float[np.ndarray, "snapshots k"]]:
    """The unit vectors of a layer's neurons in the plane of their two principal directions over all snapshots.

    Where they have two entries they are themselves, and the distance from the middle shows the amplitude.

    Parameters
    ----------
    snapshots : sequence of Snapshot
    layer : int
        From 0.

    Returns
    -------
    points : array of shape (snapshots, k, 2)
        Inside the unit circle.
    sizes : array of shape (snapshots, k)
        Amplitudes relative to the largest of the snapshot.
    """
    unit = unit_vectors(snapshots, layer)
    sizes = np.stack([taken.amplitudes[layer] for taken in snapshots]).astype(np.float64)
    sizes /= np.maximum(sizes.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    if unit.shape[2] == 1:
        return np.concatenate([unit, np.zeros_like(unit)], axis=2), sizes
    if unit.shape[2] == 2:
        return unit * sizes[..., None], sizes
    # The amplitude weighs, so that the plane is that of the neurons that do the work.
    weighted = (unit * sizes[..., None]).reshape(-1, unit.shape[2])
    return unit @ np.linalg.svd(weighted, full_matrices=False).Vh[:2].T, sizes


def unit_vectors(snapshots: Sequence[Snapshot], layer: int) -> Float[np.ndarray, "snapshots k fan_in"]:
    """The directions of a layer, from 0, in all snapshots, in float64.

    Parameters
    ----------
    snapshots : sequence of Snapshot
    layer : int
        Counted from 0.

    Returns
    -------
    array of shape (snapshots, m, k)
    """
    return np.stack([taken.directions[layer] for taken in snapshots]).astype(np.float64)
