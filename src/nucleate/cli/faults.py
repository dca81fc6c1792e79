"""What goes wrong that no check has caught: in the surroundings of the command, or in nucleate itself."""

import errno
import os
import shlex

from nucleate._wording import say_error, shown
from nucleate.errors import NucleateError

_ADDRESSES = 4e9
"""Bytes. Below, compiled libraries abort the process when they get no memory, which nothing can catch."""
_NO_MEMORY = ("failed to map segment", "RESOURCE_EXHAUSTED", "Cannot allocate memory", "can't start new thread")


def of_surroundings(error: BaseException) -> str | None:
    """A sentence on files, memory and settings of the machine, or None where it is none of these."""
    said = str(error)
    full = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if full or isinstance(error, MemoryError) or any(sign in said for sign in (*_NO_MEMORY, "ut of memory")):
        return (
            "There is too little memory; make the hidden widths, the data or the number of runs smaller, or allow the "
            "process more (ulimit -v)."
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)} cannot be used ({error.strerror}); check the path and its rights."
    for variable in os.environ:
        if variable.startswith(("JAX_", "XLA_")) and variable in said:
            return f"JAX cannot use {variable}={shown(os.environ[variable])}; unset it."
    if "JAX_PLATFORMS" in os.environ and not _computes():
        return f"JAX cannot compute on JAX_PLATFORMS={shown(os.environ['JAX_PLATFORMS'])}; unset it, or set it to cpu."
    return None


def _computes() -> bool:
    try:
        import jax

        jax.devices()
    except Exception:
        return False
    return True


def of_nucleate(error: BaseException, arguments: list[str]) -> str:
    """A sentence on a fault that is not the user's, and on how to show where it is."""
    again = shlex.join(["nucleate", "--debug", *(argument for argument in arguments if argument != "--debug")])
    return (
        f"something in nucleate failed ({say_error(error)[:300]}); run {again} to see where, and please report it "
        "with what that prints."
    )


def refuse_few_addresses() -> None:
    """Refuse a limit (``ulimit -v``) under which nothing can be computed."""
    try:
        import resource
    except ImportError:  # Windows has no such limits.
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < _ADDRESSES:
        raise NucleateError(
            f"The process may use {limit / 1e9:.2g} GB of addresses, and computing takes {_ADDRESSES / 1e9:.0f}; raise "
            "the limit with ulimit -v."
        )
