"""Text files taken apart into cells: their encoding, and what separates the columns."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import polars as pl

from nucleate._wording import count
from nucleate.errors import DataError
from nucleate.tables.files import refuse_binary

_SEPARATORS = "\t;|,"
"""That which is least often part of a cell comes first."""
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_SAMPLE = 50
"""So many lines tell the separator."""
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_COMMON_KANJI = re.compile("[\u3040-\u30ff\u3000-\u3002]|[\u4e00-\u9fff]")
_HALF_WIDTH = re.compile("[\uff61-\uff9f]")
_REMARK = re.compile(
    r"(?i:※|[*＊]+\s*[^\d\s]|[(（［\[]?注\s*\d*\s*[)）］\]:：.．\s]|(?:出典|出所|資料|備考|notes?|source)\s*[:：])"
)


class Cells(NamedTuple):
    """The rows of a file as texts, the header among them; what separates columns; and notes."""

    rows: pl.DataFrame
    separator: str
    notes: list[str]


def cells_of_text(path: Path, content: bytes, encoding: str | None) -> Cells:
    """The cells of a text file.

    Lines before the widest ones, such as a title, are padded with empty cells.
    """
    text, notes = _decoded(path, content, encoding)
    # Some programs end a file with a sign of its own.
    text = text.lstrip("\ufeff\r\n").rstrip("\x1a")
    if "\x00" in text:
        raise DataError(f"The file {path} has zero bytes, as text never has; save it as CSV UTF-8.")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    told = re.match(r'"?sep=(.)"?\n', text)
    first = 1
    if told:
        text, first = text[told.end() :], 2
    separator = told[1] if told else _separator_of(path, text)
    if separator == " ":
        if text.startswith("# "):
            # As NumPy writes a header.
            text = text.lstrip("# ")
            notes.append("Left out the # before the first name.")
        text = "\n".join(line.strip() for line in text.split("\n"))
    cells = None if '"' in text or separator == " " else _even(text, separator)
    if cells is None:
        cells = _uneven(path, text, separator, first)
    return Cells(cells, separator, notes)


def _separator_of(path: Path, text: str) -> str:
    """What parts the most lines into the same number of cells; a space where that fits all of them."""
    lines = [line for line in islice(_lines(text), _SAMPLE) if line.strip()]
    plain = [re.sub('"[^"]*"', '""', line).lstrip("# ") for line in lines]
    if path.suffix.lower() == ".tsv" and "\t" in text:
        return "\t"

    def fit(separator: str) -> tuple[int, int]:
        numbers = Counter(number for line in plain if (number := line.count(separator)))
        (most, lines_of_it), *_ = numbers.most_common(1) or [(0, 0)]
        return lines_of_it, most

    best = max(_SEPARATORS, key=fit)
    agreeing, _ = fit(best)
    words = [len(line.split()) for line in plain]
    is_spaced = len(set(words[1:])) == 1 < words[-1] and words[-1] - words[0] in (0, 1)
    return " " if is_spaced and best not in plain[0] else best if agreeing else ","


def _lines(text: str) -> Iterable[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


def _even(text: str, separator: str) -> pl.DataFrame | None:
    """The cells of lines that all have as many, or None."""
    numbers = {line.count(separator) for line in text.split("\n") if line}
    if len(numbers) != 1 or numbers == {0}:
        return None
    # The header is read as a row, because polars renames columns of the same name without a word.
    if "\n\n" in text:
        text = re.sub("\n+", "\n", text)
    return pl.read_csv(text.encode(), has_header=False, infer_schema=False, separator=separator, quote_char=None)


def _uneven(path: Path, text: str, separator: str, first: int) -> pl.DataFrame:
    reader = csv.reader((line + "\n" for line in _lines(text)), delimiter=separator, skipinitialspace=True, strict=True)
    lines: list[list[str]] = []
    numbers, start = [], first
    try:
        for line in reader:
            if any(cell.strip() for cell in line) or (len(line) > 1 and lines):
                lines.append(line)
                numbers.append(start)
            start = first + reader.line_num
    except csv.Error as error:
        raise DataError(
            f"Line {start} of {path} is not readable ({_said(str(error))}); correct it, or write the file again."
        ) from None
    if not lines:
        raise DataError(f"The file {path} is empty; expected columns with a target among them.")
    width, full = _width_of(lines)
    if separator in " \t" and full and len(lines[full - 1]) == width - 1 and _numbers_rows(lines[full:]):
        # As R writes them: the names of the rows have no name.
        full -= 1
        lines[full] = ["", *lines[full]]
    end = len(lines)
    while end > full + 1 and (is_remark(lines[end - 1]) or not any(lines[end - 1])):
        end -= 1
    for place, line in enumerate(lines[:end]):
        if any(cell.strip() for cell in line[width:]) or (len(line) < width and place > full):
            raise DataError(
                f"Line {numbers[place]} of {path} has {count(len(line), 'cell')}, where the others have {width}; "
                "correct it, or delete it if it is no row of the table."
            )
    if full and any(is_number(cell) for cell in lines[full]):
        raise DataError(
            f"The header line of {path} has {count(len(lines[full - 1]), 'name')}, and its rows have {width} cells; "
            "name each column. If numbers have decimal commas, separate the columns by semicolons."
        )
    rows = ([*line[:width], *[""] * (width - len(line))] for line in lines)
    return pl.DataFrame(
        [pl.Series(f"column_{place + 1}", column, pl.String) for place, column in enumerate(zip(*rows, strict=True))]
    )


def is_number(cell: str) -> bool:
    """Whether a cell is plainly a number."""
    return re.fullmatch(NUMBER, cell.strip()) is not None


def is_remark(line: Sequence[str]) -> bool:
    """Whether a line of cells is a remark, as stands below tables: one cell, which begins as remarks do.

    >>> is_remark(["※ 税込", ""]), is_remark(["注1）推計", ""]), is_remark(["※", "3"]), is_remark(["合計"])
    (True, True, False, False)
    """
    filled = [cell.strip() for cell in line if cell.strip()]
    return len(filled) == 1 and _REMARK.match(filled[0]) is not None


def _numbers_rows(lines: list[list[str]]) -> bool:
    return [line[0] for line in lines] == [str(place + 1) for place in range(len(lines))]


def _width_of(lines: list[list[str]]) -> tuple[int, int]:
    """How many cells most lines have, and the first that has as many."""
    width = max(Counter(map(len, lines)).items(), key=lambda pair: pair[1])[0]
    if width > 1 and all(len(line) < width or not line[width - 1].strip() for line in lines):
        width -= 1
    return width, next(place for place, line in enumerate(lines) if len(line) >= width)


def _said(error: str) -> str:
    if "unexpected end" in error:
        return "a quotation mark is not closed"
    if "expected after" in error:
        return "text follows a closing quotation mark"
    return error


def _decoded(path: Path, content: bytes, encoding: str | None) -> tuple[str, list[str]]:
    mark = next((name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), None)
    if not mark:
        refuse_binary(path, content)
        mark = _wide_encoding(content)
    try:
        return content.decode(encoding or mark or "utf-8"), []
    except UnicodeDecodeError as error:
        if encoding or mark:
            raise DataError(
                f"The file {path} is no {encoding or mark} text (at byte {error.start + 1}); name its --encoding."
            ) from error
        at = error.start + 1
    except (LookupError, ValueError):
        raise DataError(f"There is no encoding {encoding!r}; try utf-8, cp932, euc_jp or utf-16.") from None
    texts = {name: text for name in ("cp932", "euc_jp") if (text := _japanese(content, name)) is not None}
    if not texts:
        raise DataError(
            f"The file {path} is not UTF-8 text (at byte {at}); save it as CSV UTF-8, or name its --encoding, such as "
            "cp932 or cp1252."
        )
    # Read as cp932, EUC-JP looks like half-width kana.
    name = max(texts, key=lambda one: -len(_HALF_WIDTH.findall(texts[one])))
    return texts[name], [f"{path} was read as {name}; --encoding reads it otherwise."]


def _wide_encoding(content: bytes) -> str | None:
    """UTF-16 without a byte-order mark: separators and digits have a zero byte after or before them."""
    sample = content[:4096]
    zeros = [sample[start::2].count(0) for start in (0, 1)]
    if min(zeros) > 0 or 20 * max(zeros) < len(sample):
        return None
    name = "utf-16-le" if zeros[1] else "utf-16-be"
    text = sample.decode(name, "ignore")
    looks_like_text = "\n" in text and any(separator in text for separator in _SEPARATORS + " ")
    return name if looks_like_text and not re.search("[\x00-\x08\x0e-\x1f]", text) else None


def _japanese(content: bytes, encoding: str) -> str | None:
    """The text, if it has Japanese letters next to each other, as European letters between ASCII never give."""
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    letters = _COMMON_KANJI.findall(text)
    together = re.findall(r"[\u3040-\u30ff\u4e00-\u9fff\uff66-\uff9f]{2,}", text)
    return text if together or len(letters) == len(re.findall(r"[^\x00-\x7f]", text)) > 1 else None
