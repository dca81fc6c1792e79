"""Vectors whose directions are known, and rotations to turn them by."""

import numpy as np


def planted(rng, sizes, k, *, opposite=False, noise=0.0):
    """Rows of any length along ``len(sizes)`` orthogonal directions of R^k, shuffled, and the direction of each row.

    With ``opposite``, each row points along or against its direction, at random.
    """
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    lengths = np.exp(rng.uniform(-3, 3, truth.size)) * (rng.choice([-1, 1], truth.size) if opposite else 1)
    rows = rotation(rng, k)[truth] + noise * rng.standard_normal((truth.size, k))
    return lengths[:, None] * rows, truth


def rotation(rng, k):
    return np.linalg.qr(rng.standard_normal((k, k)))[0]


def same_partition(labels, others):
    return np.array_equal(labels[:, None] == labels, others[:, None] == others)
