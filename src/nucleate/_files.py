"""Files that appear whole or not at all, whenever the process dies."""

import os
from contextlib import suppress
from pathlib import Path

from nucleate.errors import NucleateError

PARTIAL = ".part"


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path`` and rename it there.

    Raises
    ------
    NucleateError
        If the path cannot be written.
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise NucleateError(f"{path} cannot be written ({error.strerror}); check the folder and its rights.") from error
