"""One process at a time writes into a folder: its lock, and who holds that and how far it is, for those that wait."""

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nucleate._files import parse_json, read_file, write_json
from nucleate.errors import StudyError

LOCK, OWNER = ".lock", ".owner.json"
_LOOK_SECONDS = 0.3
_TELL_SECONDS = 1.0


@dataclass(frozen=True)
class Owner:
    """Who writes into a folder, as a name for a sentence.

    ``progress`` is what it last told of how far it is, see `Ownership.tell`; empty where it has told nothing yet.
    """

    name: str = "another process"
    progress: Mapping[str, Any] = field(default_factory=dict)


class OwnedError(StudyError):
    """Another process writes into the folder.

    Parameters
    ----------
    folder : Path
    owner : Owner
    remedy : str
        What else can be done.
    """

    def __init__(self, folder: Path, owner: Owner, remedy: str = "") -> None:
        super().__init__(
            f"{folder} is being written by {owner.name}; let that end, {remedy}or choose another folder with --out."
        )
        self.folder, self.owner = folder, owner


class Ownership:
    """The right to write into a folder, which `owned` gives."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / OWNER
        self._known = {"host": platform.node(), "pid": os.getpid(), "since": _now()}
        self._next = 0.0
        self.tell({})

    def tell(self, progress: Mapping[str, Any]) -> None:
        """Tell those that wait how far this process is; what comes within a second of the last is not written."""
        if time.monotonic() >= self._next:
            write_json(self._file, {**self._known, "heard": _now(), "progress": dict(progress)})
            self._next = time.monotonic() + _TELL_SECONDS if progress else 0.0


@contextmanager
def owned(folder: Path, meanwhile: Callable[[Owner], None] | None = None) -> Iterator[Ownership]:
    """Hold a folder's lock, which the system lets go of when the process dies, for the length of a block.

    While another process holds it, ``meanwhile`` is called again and again with who that is; without, it is an
    OwnedError.
    """
    with _lock(folder, meanwhile):
        try:
            yield Ownership(folder)
        finally:
            (folder / OWNER).unlink(missing_ok=True)


def until_free(folder: Path, meanwhile: Callable[[Owner], None]) -> None:
    """Wait until nobody writes into a folder; arguments and errors are those of `owned`."""
    with _lock(folder, meanwhile):
        pass


def _lock(folder: Path, meanwhile: Callable[[Owner], None] | None) -> Any:
    while True:
        try:
            return FileLock(folder / LOCK, blocking=False).acquire()
        except Timeout:
            owner = _read(folder / OWNER)
            if meanwhile is None:
                raise OwnedError(folder, owner) from None
            meanwhile(owner)
        except OSError as error:
            raise StudyError(
                f"The folder {folder} cannot be locked ({error.strerror}); choose another with --out."
            ) from None
        time.sleep(_LOOK_SECONDS)


def _read(file: Path) -> Owner:
    try:
        known = parse_json(read_file(file))
        return Owner(f"process {known['pid']} on {known['host']} since {known['since']}", known["progress"])
    except (OSError, ValueError, KeyError):
        return Owner()


def _now() -> str:
    return datetime.now().isoformat(" ", "seconds")
