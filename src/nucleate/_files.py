"""Files that appear whole or not at all, and that carry a checksum of themselves.

A file that we shall read again holds a mark, ``sha256:<64 digits> of <place>;``, among its metadata, so that others
read it as any other file. The digits are the SHA-256 of the file with zeros in their place. The place says which file
it is, so that one put in the place of another is noticed too.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from nucleate.errors import NucleateError

PARTIAL = ".part"
CHECKSUM = "checksum"
"""Under which key of its metadata a file holds its mark."""
_ZEROS = b"0" * 64
_MARK = re.compile(rb"sha256:([0-9a-f]{64}) of ([\w./@-]*);")


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path`` and rename it there; a symbolic link stays one, and what it names is written.

    A `NucleateError` if the path cannot be written, or is a folder, a device, a FIFO or a socket.
    """
    target = _behind_links(path)
    # A name of its own, for another process may be writing the same file.
    partial = target.with_name(f".{target.name}.{token_hex(4)}{PARTIAL}")
    try:
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


def check_file(path: str | Path, read: Sequence[Path] = ()) -> None:
    """Refuse, by a `NucleateError`, a path where no file can be written, or that of a file that is to be read."""
    for one in read:
        if os.path.exists(path) and os.path.exists(one) and os.path.samefile(path, one):
            raise NucleateError(f"{path} is what is read, and would be written over; name another file to write.")
    try:
        TemporaryFile(dir=_behind_links(Path(path)).parent).close()
    except OSError as error:
        raise _unwritable(path, error) from None


def check_folder(path: str | Path) -> None:
    """Refuse, by a `NucleateError`, a path that is no folder that can be written, and where none can be made."""
    there = Path(os.path.realpath(path))
    try:
        while not os.path.lexists(there):
            there = there.parent
        if not there.is_dir():
            raise NucleateError(f"The folder {path} cannot be made ({there} is {_kind(there)}); choose another.")
        TemporaryFile(dir=there).close()
    except OSError as error:
        raise NucleateError(f"The folder {path} cannot be written ({error.strerror}); choose another.") from None


def make_folder(path: str | Path) -> None:
    """Make a folder, and those it lies in, where it does not exist; raises as `check_folder` does."""
    check_folder(path)
    try:
        Path(os.path.realpath(path)).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NucleateError(f"The folder {path} cannot be made ({error.strerror}); choose another.") from None


def read_file(path: str | Path) -> bytes:
    """A regular file's bytes; raises OSError for anything else, and never waits as a FIFO would make it."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(None, f"it is {_kind(Path(path))}, not a file")
    return Path(path).read_bytes()


def mark(place: str = "") -> str:
    """What a content holds before it is sealed; ``place`` says which file it is, in letters, digits and ``._-/@``."""
    return f"sha256:{_ZEROS.decode()} of {place};"


def seal(content: bytes, place: str = "") -> bytes:
    """The content with its checksum in the mark that it holds."""
    empty = mark(place).encode()
    return content.replace(empty, empty.replace(_ZEROS, hashlib.sha256(content).hexdigest().encode()), 1)


def pack_tensors(tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file's bytes, whatever the order of the arrays in memory, which safetensors itself takes for C's.

    >>> parse_tensors(pack_tensors({"a": np.array([[1, 2], [3, 4]]).T}))[0]["a"].tolist()
    [[1, 3], [2, 4]]
    """
    return save({name: np.asarray(array, order="C") for name, array in tensors.items()}, dict(metadata or {}))


def seal_tensors(content: bytes, place: str = "") -> bytes:
    """A safetensors file's bytes with a mark in its metadata, in place of one there may be."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    metadata = header.pop("__metadata__", {}) | {CHECKSUM: mark(place)}
    text = json.dumps({"__metadata__": metadata} | header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return seal(len(text).to_bytes(8, "little") + text + content[8 + size :], place)


def check_seal(content: bytes, place: str | None = None) -> None:
    """Raise ValueError, saying what is wrong, if a content is not what was sealed, for this place if one is given.

    >>> sealed = seal(b'{"loss": 0.25, "checksum": "' + mark("a.json").encode() + b'"}', "a.json")
    >>> check_seal(sealed, "a.json")
    >>> check_seal(sealed.replace(b"0.25", b"0.24"), "a.json")
    Traceback (most recent call last):
    ValueError: its checksum is wrong
    """
    marks = list(_MARK.finditer(content))
    if not marks:
        raise ValueError("it has no checksum, so nucleate did not write it as it is")
    for found in marks:
        start, end = found.span(1)
        digest = hashlib.sha256(content[:start])
        digest.update(_ZEROS)
        digest.update(memoryview(content)[end:])
        if digest.hexdigest() == found[1].decode():
            if place not in (None, found[2].decode()):
                raise ValueError(f"it is another file, {found[2].decode() or 'of no study'}")
            return
    raise ValueError("its checksum is wrong")


def read_sealed(path: str | Path, place: str | None = None) -> bytes:
    """A file's bytes, checked; raises OSError as `read_file` and ValueError as `check_seal` do."""
    content = read_file(path)
    check_seal(content, place)
    return content


def write_json(path: Path, content: Mapping[str, Any], place: str = "") -> None:
    """Write a JSON object with its checksum; raises as `write_atomically` does."""
    text = json.dumps({**content, CHECKSUM: mark(place)}, indent=2, ensure_ascii=False)
    write_atomically(path, seal(text.encode(), place))


def parse_json(content: bytes) -> dict[str, Any]:
    """A JSON object without its checksum; raises ValueError for anything else."""
    try:
        parsed = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError:
        raise ValueError("it is not valid JSON") from None
    if not isinstance(parsed, dict):
        raise ValueError("it is not a JSON object")
    parsed.pop(CHECKSUM, None)
    return parsed


def read_json(path: str | Path, place: str | None = None) -> dict[str, Any]:
    """The object that `write_json` wrote, checked; raises OSError and ValueError as `read_sealed` does."""
    return parse_json(read_sealed(path, place))


def parse_tensors(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors and the metadata of a safetensors file; raises ValueError if it is none."""
    try:
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        metadata: dict[str, str] = json.loads(content[8 : 8 + size]).get("__metadata__") or {}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"it is not a readable safetensors file: {' '.join(str(error).split())}") from None
    return tensors, metadata


def why_unreadable(error: OSError | ValueError) -> str:
    """What was wrong with a file, for a sentence."""
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)


def _behind_links(path: Path) -> Path:
    """What is to be written in the end, if that can be a file."""
    target = Path(os.path.realpath(path))
    if os.path.lexists(target) and not target.is_file():
        raise NucleateError(f"{path} cannot be written (it is {_kind(target)}); choose another file.")
    return target


def _unwritable(path: str | Path, error: OSError) -> NucleateError:
    return NucleateError(
        f"{path} cannot be written ({error.strerror}); check the folder, its rights and the room there."
    )


def _kind(path: Path) -> str:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return "a symbolic link that leads nowhere"
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
