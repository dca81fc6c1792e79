"""What rounding must not decide: whether a deep linear network rests, in integers of any length."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from jaxtyping import Float


def rests(weights: Sequence[Float[np.ndarray, "fan_out fan_in"]], moment: Float[np.ndarray, "c d"]) -> bool:
    """Whether every gradient of ``<W_L ... W_1, M>`` is exactly zero for the numbers as they are given.

    Examples
    --------
    >>> a, W2, b = np.zeros((1, 1)), np.array([[0.1, -0.3]]), np.array([[0.3], [0.1]])
    >>> rests([b, W2, a], np.ones((1, 1))), rests([2 * b, W2, a], np.ones((1, 1)))
    (True, True)
    >>> rests([b + 1e-9, W2, a], np.ones((1, 1)))
    False
    """
    exact, M = [_integers(weight) for weight in weights], _integers(moment)
    for layer in range(len(exact)):
        before = [weight.T for weight in exact[:layer]]
        after = [weight.T for weight in exact[layer + 1 :]]
        # The vectors of a chain come first, so that no two matrices are multiplied.
        gradient = reduce(np.matmul, before, M) if before else M
        gradient = reduce(lambda product, weight: weight @ product, reversed(after), gradient)
        if (gradient != 0).any():
            return False
    return True


def _integers(array: Float[np.ndarray, "..."]) -> Any:
    """The array times a power of two that makes integers of its entries."""
    mantissas, exponents = np.frexp(array)
    shifts = exponents - exponents.min()
    digits = [
        int(mantissa * 2.0**53) << int(shift) for mantissa, shift in zip(mantissas.flat, shifts.flat, strict=True)
    ]
    return np.array(digits, dtype=object).reshape(array.shape)
