"""Files that appear whole or not at all, whenever the process dies."""

import os
import stat
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


def path_fault(path: str | Path) -> str | None:
    """Why no file can have this path, or None.

    >>> path_fault("a\\0b"), path_fault("table.csv")
    ('a path holds no NUL character', None)
    """
    if "\0" in str(path):
        return "a path holds no NUL character"
    try:
        parts = str(path).encode().split(os.sep.encode())
    except UnicodeEncodeError:
        return "a path is UTF-8 text here"
    return "a part of a path has at most 255 bytes" if max(map(len, parts)) > 255 else None


def read_text(path: Path) -> str:
    """A whole UTF-8 file.

    Raises
    ------
    OSError
        If it cannot be read, as a device, which need not have an end.
    UnicodeDecodeError
        If it is not UTF-8.
    """
    fault = path_fault(path)
    if fault is not None:
        raise OSError(0, fault)
    if stat.S_ISCHR(path.stat().st_mode) or stat.S_ISBLK(path.stat().st_mode):
        raise OSError(0, "it is a device")
    return path.read_text("utf-8")
