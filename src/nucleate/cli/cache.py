"""What JAX compiles for a command is kept for the next one, in the user's cache folder.

Compiling takes most of a short command's time. Only the command does so: `import nucleate` changes no setting.
"""

import hashlib
import os
import platform
import sys
import tempfile
import warnings
from pathlib import Path

LARGEST = 200_000_000
"""Bytes. Beyond, what was used longest ago goes, until half of it is left."""


def keep_compiled() -> None:
    """Tell JAX, by the environment variables that it reads when it is imported, to keep what it compiles.

    Nothing is told where the user has said where to keep it (``JAX_COMPILATION_CACHE_DIR``), where JAX is imported
    already, or where the folder cannot be written; and JAX keeps nothing where ``JAX_ENABLE_COMPILATION_CACHE`` is 0.
    Programs are kept by the versions of JAX and XLA that made them, and one that cannot be read is compiled again.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or "jax" in sys.modules:
        return
    try:
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        _make_room(folder)
    # RuntimeError: there is no home folder.
    except (OSError, RuntimeError):
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    # A disk that is full, or a damaged file, costs time and nothing else.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")


def _folder() -> Path:
    """One for each kind of processor: homes are shared, and programs are compiled for what a processor can do."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    cache = given if given.is_absolute() else Path.home() / ".cache"
    try:
        told = Path("/proc/cpuinfo").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        told = []
    skills = next((line for line in told if line.startswith(("flags", "Features"))), platform.processor())
    kind = hashlib.sha256(f"{platform.machine()} {skills}".encode()).hexdigest()[:8]
    return cache / "nucleate" / f"jax-{kind}"


def _make_room(folder: Path) -> None:
    """By hand: JAX's own limit looks at every file each time it keeps a program, 0.1 s where there are 4000."""
    kept = sorted((file.stat().st_atime, file.stat().st_size, file) for file in folder.glob("*-cache"))
    size = sum(size for _, size, _ in kept)
    if size <= LARGEST:
        return
    for _, freed, file in kept:
        if size <= LARGEST // 2:
            break
        file.unlink(missing_ok=True)
        size -= freed
