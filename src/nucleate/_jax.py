"""The one place where JAX is set up: 64-bit types on, and one CPU device a core.

Every module that makes JAX arrays imports this first, because the number of devices is fixed when JAX makes its
first array.
"""

import os
import warnings

import jax

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
