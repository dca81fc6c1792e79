"""What a person gives, at the door: whatever stands for an array becomes one, or is refused in a sentence."""

import inspect
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from jaxtyping import Float

from nucleate._wording import say_error
from nucleate.errors import ArchitectureError


def real_array(name: str, values: Any, *, rank: int | None = None) -> Float[np.ndarray, "..."]:
    """The values as a NumPy array of float64, with ``rank`` axes if that is given; ``name`` begins the sentence of a
    refusal.

    >>> real_array("The loss", [1, 2])
    array([1., 2.])
    """
    # Measures ask two dozen times an evaluation.
    if type(values) is np.ndarray and values.dtype == np.float64 and rank in (None, values.ndim):
        return values
    try:
        given = np.asarray(values.detach() if hasattr(values, "detach") else values)
        if given.dtype.kind not in "biufO":
            raise TypeError(f"its dtype is {given.dtype}")
        array = np.asarray(given, np.float64)
    except Exception as failure:
        raise ArchitectureError(
            f"{name} is not an array of real numbers ({say_error(failure)[:160]}); give one, such as a NumPy array."
        ) from None
    if np.ma.is_masked(values):
        raise ArchitectureError(
            f"{name} is masked in {int(np.ma.getmaskarray(values).sum())} places; fill them or leave them out."
        )
    if rank is not None and array.ndim != rank:
        raise ArchitectureError(f"{name} has {array.ndim} axes; expected {rank}.")
    return array


def is_truth(given: Any) -> bool:
    """Whether it is a truth value, of Python, NumPy, JAX or PyTorch.

    >>> is_truth(True), is_truth(np.array(True)), is_truth(1)
    (True, True, False)
    """
    return isinstance(given, bool) or str(getattr(given, "dtype", "")) in ("bool", "torch.bool")


def is_whole(given: Any) -> bool:
    """Whether it is a whole number, of Python or of NumPy; a truth value is none.

    >>> is_whole(np.int64(3)), is_whole(3.0), is_whole(True)
    (True, False, False)
    """
    return isinstance(given, Integral) and not isinstance(given, bool)


def is_real(given: Any) -> bool:
    """Whether it is one real number, of Python or of NumPy; a truth value is none.

    >>> is_real(np.float32(3)), is_real("3"), is_real(True)
    (True, False, False)
    """
    return isinstance(given, Real) and not isinstance(given, bool)


def takes(function: Callable[..., Any], arguments: int) -> bool:
    """Whether a function can be called with so many arguments.

    >>> takes(pow, 2), takes(abs, 2)
    (True, False)
    """
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:
        # Of some built-in callables it is not known what they take.
        return True
    return True
