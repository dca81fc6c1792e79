"""Text files taken apart into cells: their encoding, what separates the columns, and their header line."""

import codecs
import re
from pathlib import Path
from typing import NamedTuple

import polars as pl

from nucleate._wording import name_columns
from nucleate.errors import DataError

_SEPARATORS = ",;\t|"
_NUMBER = r"^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$"
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_COMMON_KANJI = re.compile("[\u3040-\u30ff\u3000-\u3002]|[\u4e00-\u9fff]")
_HALF_WIDTH = re.compile("[\uff61-\uff9f]")


class Cells(NamedTuple):
    """The rows of a file as texts, the header among them; what separates columns; and notes."""

    rows: pl.DataFrame
    separator: str
    notes: list[str]


def cells_of_text(path: Path, content: bytes, encoding: str | None) -> Cells:
    """The cells of a text file.

    Raises
    ------
    DataError
        If its encoding cannot be told, or is not the one given.
    """
    text, notes = _decoded(path, content, encoding)
    text = text.lstrip("\ufeff\r\n")
    told = re.match(r"sep=(.)\r?\n", text)
    if told:
        text = text[told.end() :]
    header = re.sub('"[^"]*"', "", text.split("\n", 1)[0])
    separator = told[1] if told else max(_SEPARATORS, key=header.count)
    if path.suffix.lower() == ".tsv" and "\t" in header:
        separator = "\t"
    if separator not in header and _is_spaced(text):
        text, separator = "\n".join("\t".join(line.split()) for line in text.splitlines()), "\t"
    # The header is read as a row, because polars renames columns of the same name without a word.
    cells = pl.read_csv(text.encode(), has_header=False, infer_schema=False, separator=separator)
    return Cells(cells, separator, notes)


def _is_spaced(text: str) -> bool:
    widths = {len(line.split()) for line in text.splitlines() if line.strip()}
    return len(widths) == 1 and widths.pop() > 1


def _decoded(path: Path, content: bytes, encoding: str | None) -> tuple[str, list[str]]:
    mark = next((name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), None)
    try:
        return content.decode(encoding or mark or "utf-8"), []
    except LookupError:
        raise DataError(f"There is no encoding {encoding!r}; try utf-8, cp932, euc_jp or utf-16.") from None
    except UnicodeDecodeError as error:
        if encoding or mark:
            raise DataError(
                f"The file {path} is no {encoding or mark} text (at byte {error.start + 1}); name its --encoding."
            ) from error
        at = error.start + 1
    texts = {name: text for name in ("cp932", "euc_jp") if (text := _japanese(content, name)) is not None}
    if not texts:
        raise DataError(
            f"The file {path} is not UTF-8 text (at byte {at}); save it as CSV UTF-8, or name its --encoding, such as "
            "cp932 or cp1252."
        )
    # Read as cp932, EUC-JP looks like half-width kana.
    name = max(texts, key=lambda one: -len(_HALF_WIDTH.findall(texts[one])))
    return texts[name], [f"{path} was read as {name}; --encoding reads it otherwise."]


def _japanese(content: bytes, encoding: str) -> str | None:
    """The text, if it has Japanese letters next to each other, as European letters between ASCII never give."""
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    letters = _COMMON_KANJI.findall(text)
    together = re.findall(r"[\u3040-\u30ff\u4e00-\u9fff\uff66-\uff9f]{2,}", text)
    return text if together or len(letters) == len(re.findall(r"[^\x00-\x7f]", text)) > 1 else None


def with_header(path: Path, cells: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rows below the header under its names, without an index or an empty column, and notes on what was left out.

    Raises
    ------
    DataError
        If a column has no name, two have the same, or the first line is none of names.
    """
    names = [(name or "").strip() for name in cells.row(0)]
    rows, notes, kept = cells.slice(1), [], []
    for place, (name, column) in enumerate(zip(names, rows, strict=True)):
        values = column.str.strip_chars()
        empty = bool((values.fill_null("") == "").all())
        if not name and empty:
            notes.append(f"Left out column {place + 1}, which has neither a name nor values.")
        elif (not name or re.fullmatch(r"Unnamed: \d+", name)) and place == 0 and _numbers_rows(values):
            notes.append("Left out the first column, which only numbers the rows.")
        else:
            kept.append(place)
    names = [names[place] for place in kept]
    rows = rows.select(rows.columns[place] for place in kept)
    _check_names(path, names, rows)
    if names == [str(number) for number in range(len(names))]:
        notes.append(f"The columns of {path} are named 0 to {len(names) - 1}, after its first line.")
    return rows.rename(dict(zip(rows.columns, names, strict=True))), notes


def _numbers_rows(values: pl.Series) -> bool:
    numbers = values.cast(pl.Int64, strict=False)
    return len(numbers) > 1 and numbers[0] in (0, 1) and bool((numbers.diff(null_behavior="drop") == 1).all())


def _check_names(path: Path, names: list[str], rows: pl.DataFrame) -> None:
    if "" in names:
        raise DataError(
            f"Column {names.index('') + 1} of {path} has no name. Name it in the header line, or delete it if it only "
            "numbers the rows."
        )
    numbers = [name for name in names if re.match(_NUMBER, name)]
    counted = [str(number) for number in range(len(names))]
    if numbers and names not in (counted, [str(int(number) + 1) for number in counted]):
        texts = [place for place, name in enumerate(names) if not re.match(_NUMBER, name)]
        if not any(_is_heading(names[place], rows[:, place]) for place in texts):
            raise DataError(
                f"The first line of {path} holds the number {numbers[0]}; add a header line that names the columns."
            )
    repeated = dict.fromkeys(name for name in names if names.count(name) > 1)
    if repeated:
        raise DataError(f"The file {path} has {name_columns(repeated)} more than once; give each column its own name.")


def _is_heading(name: str, below: pl.Series) -> bool:
    """Whether a text is over a column of another kind: of numbers, or of texts that repeat without it."""
    values = below.str.strip_chars()
    if bool(values.str.contains(_NUMBER).sum() > len(values) / 2):
        return True
    return name not in values and values.n_unique() <= len(values) / 2
