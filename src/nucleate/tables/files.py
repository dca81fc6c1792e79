"""Where data lie: one file, standard input, or the like files of a folder or a pattern."""

import glob
import gzip
import io
import re
import sys
import zlib
from pathlib import Path

from nucleate._wording import first_line
from nucleate.devices import MEMORY
from nucleate.errors import DataError

TEXT = (".csv", ".tsv", ".txt")
ENDINGS = f"{', '.join(TEXT)} (also with .gz), .xlsx, .parquet or .npz"
STANDARD_INPUT = Path("-")
MOST_UNPACKED = MEMORY / 4
"""Bytes that a packed file may unpack to; a table that is read takes several times its text."""

_BINARY = {
    b"PK\x03\x04": "a zip archive or an .xlsx file",
    b"\xd0\xcf\x11\xe0": "an old .xls file or a protected spreadsheet",
    b"PAR1": "a .parquet file",
    b"\x1f\x8b": "a .gz file",
    b"\x93NUMPY": "a .npy file",
    b"%PDF": "a .pdf file",
    b"\x89PNG": "a .png file",
}


def kind_of_file(path: Path) -> str:
    """The ending that says what a file is, without that of its packing."""
    if path == STANDARD_INPUT:
        return ".csv"
    kind, packed = path.suffix.lower(), path.suffix.lower() == ".gz"
    if packed:
        kind = Path(path.stem).suffix.lower()
    if kind == ".xlsm" and not packed:
        return ".xlsx"
    if kind in TEXT or (not packed and kind in (".xlsx", ".parquet", ".npz")):
        return kind
    if kind in (".xls", ".xlsb", ".ods"):
        raise DataError(f"{path} is a spreadsheet of another kind than .xlsx; save it as .xlsx or as CSV.")
    raise DataError(f"{path} is not a file of a known type; expected {ENDINGS}.")


def is_pattern(path: Path) -> bool:
    """Whether a path stands for several files, as in ``days/*.csv``."""
    return glob.has_magic(str(path))


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; no path that a system refuses is there."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def name_of(path: Path) -> str:
    """What data are called: a file's name without its endings, a folder's, or what a pattern says in letters.

    >>> [name_of(Path(path)) for path in ("a/day.csv.gz", "days/*.csv", "days/run-?.csv")]
    ['day', 'days', 'run']
    """
    name = path.name.removesuffix(".gz").rsplit(".", 1)[0] if path.suffix else path.name
    if is_pattern(path) and not exists(path):
        name = re.sub(r"\[[^]]*\]|[*?]", "", name).strip(" -_.") or path.parent.name or "files"
    return name


def files_of(path: Path) -> list[Path]:
    """The files that a path stands for: itself, or those of a folder or a pattern in natural order, 2 before 10."""
    if path == STANDARD_INPUT:
        return [path]
    if exists(path) and path.is_dir():
        try:
            found = [file for file in path.iterdir() if file.is_file() and not file.name.startswith((".", "~$"))]
        except OSError as error:
            raise DataError(f"The folder {path} cannot be read ({error.strerror}); check its rights.") from error
        found = [file for file in found if _is_known(file)]
        what = f"The folder {path}"
    elif is_pattern(path) and not exists(path):
        found = [Path(file) for file in glob.glob(str(path)) if Path(file).is_file()]
        what = f"The pattern {path}"
    else:
        return [path]
    if not found:
        raise DataError(f"{what} has no file of a known type; expected {ENDINGS}.")
    kinds = sorted({kind_of_file(file) for file in found})
    if len(kinds) > 1:
        raise DataError(
            f"{what} has files of several types ({', '.join(kinds)}); name those that belong together, such as "
            f"'{(path if path.is_dir() else path.parent) / '*'}{kinds[0]}'."
        )
    return sorted(found, key=_naturally)


def _is_known(path: Path) -> bool:
    try:
        return bool(kind_of_file(path))
    except DataError:
        return False


def _naturally(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def content_of(path: Path) -> bytes:
    """A file's bytes, unpacked."""
    content = sys.stdin.buffer.read() if path == STANDARD_INPUT else _bytes_of(path)
    if not content.strip(b" \t\r\n\x00\xef\xbb\xbf\xff\xfe"):
        raise DataError(f"The file {path} is empty; expected columns with a target among them.")
    return content


def _bytes_of(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise DataError(f"The file {path} cannot be read ({error.strerror}); check the path and its rights.") from error
    except ValueError:
        raise DataError(f"The path {str(path)!r} has a character that no path has; check it.") from None
    if path.suffix.lower() != ".gz" or not content:
        return content
    try:
        with gzip.open(io.BytesIO(content)) as packed:
            unpacked = packed.read(int(min(MOST_UNPACKED, sys.maxsize - 1)) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, "gzip", error) from error
    refuse_larger(path, len(unpacked))
    return unpacked


def refuse_larger(path: Path, size: float) -> None:
    """Refuse content that would not fit the memory once it is unpacked to so many bytes and read."""
    if size > MOST_UNPACKED:
        raise DataError(
            f"The file {path} unpacks to more than {MOST_UNPACKED / 2**30:.3g} GiB, a quarter of the memory, so it is "
            "not read; take fewer rows."
        )


def refuse_binary(path: Path, content: bytes) -> None:
    """Refuse what is no text, by how it begins or by its zeros."""
    what = next((name for start, name in _BINARY.items() if content.startswith(start)), None)
    if what:
        raise DataError(f"{path} is not text, it begins as {what} does; give it the ending of what it is ({ENDINGS}).")


def unreadable(path: Path, kind: str, error: Exception) -> DataError:
    """The error of a file that is not what its name says."""
    return DataError(f"The file {path} is not a readable {kind} file ({first_line(error)}); write it again.")
