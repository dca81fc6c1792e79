"""What the bits of a study depend on besides its spec."""

import hashlib
import platform
from importlib.metadata import version

from nucleate.problems import Problem


def versions() -> dict[str, str]:
    """The versions on which the bits of a run depend."""
    packages = ("nucleate", "jax", "jaxlib", "numpy", "optax", "scipy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def split_hash(problem: Problem) -> str:
    """The SHA-256 of the data as the networks see them."""
    digest = hashlib.sha256()
    for part in (problem.train, problem.validation, problem.test):
        digest.update(part.x.tobytes() + part.y.tobytes())
    return digest.hexdigest()
