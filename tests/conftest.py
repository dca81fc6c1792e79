from pathlib import Path

import pytest
from hypothesis import settings

# One profile everywhere: no deadline (a slow machine must not fail a test), the same examples at every run.
settings.register_profile("nucleate", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("nucleate")

MAPS, MANY = Path("/proc/self/maps"), 30_000


@pytest.fixture(autouse=True, scope="module")
def few_compiled_programs():
    """Each program that JAX compiles takes memory maps, of which Linux gives a process 65,530; without, it crashes."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MANY:
        import jax

        jax.clear_caches()
