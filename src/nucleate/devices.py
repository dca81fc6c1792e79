"""The one place where JAX is set up: 64-bit types on, and one CPU device a core.

Every module that makes JAX arrays imports this first, because the number of devices is fixed when JAX makes its
first array.
"""

import os
import warnings
from contextlib import AbstractContextManager
from typing import Any

import jax
from threadpoolctl import ThreadpoolController

try:
    MEMORY: float = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    """Bytes of memory; infinite where the system does not say."""
except (AttributeError, ValueError, OSError):
    MEMORY = float("inf")


CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# Theory is float64; training names its dtype explicitly, so nothing widens by accident.
jax.config.update("jax_enable_x64", True)

# Programs in flight together share one pool of threads, and those that call LAPACK, or combine what is spread over
# devices, have been seen to wait in it for each other for ever.
jax.config.update("jax_cpu_enable_async_dispatch", False)

try:
    jax.config.update("jax_num_cpu_devices", CORES)
except RuntimeError:
    if jax.default_backend() == "cpu" and jax.device_count() < CORES:
        warnings.warn(
            f"JAX was already running with {jax.device_count()} device(s) when nucleate was first used, so runs "
            f"share {jax.device_count()} of {CORES} cores; use nucleate before making JAX arrays to have them all.",
            stacklevel=2,
        )


_BLAS = ThreadpoolController().select(user_api="blas")


def single_blas_thread() -> AbstractContextManager[Any]:
    """Hold BLAS to one thread.

    OpenBLAS threads wait by spinning: where training shares the cores, two of them made a call of 2 ms take 340.
    """
    return _BLAS.limit(limits=1)
