"""Spellings of one text: upper and lower case, full and half width."""

import unicodedata
from collections import defaultdict
from functools import cache
from itertools import product

import polars as pl

from nucleate._wording import count

_LAST_WITH_CASE = 0x1E943
_IDEOGRAPHIC_SPACE, _FORMS = 0x3000, range(0xFF00, 0xFFEF)


class _Folded(dict[int, str]):
    """What each letter is folded to, found out when it is asked for: all of them take longer than reading a table."""

    def __missing__(self, code: int) -> str:
        letter = plain = chr(code)
        if code in _FORMS or code == _IDEOGRAPHIC_SPACE:
            kind, _, wide = unicodedata.decomposition(letter).partition(" ")
            plain = chr(int(wide, 16)) if kind in ("<wide>", "<narrow>") else letter
        lower = plain.casefold()
        self[code] = lower if len(lower) == 1 else plain
        return self[code]


_FOLDED = _Folded()


def fold(text: str) -> str:
    """What texts have in common that differ only in case, in width, or in the spaces around them.

    >>> fold(" Ｙｅｓ") == fold("YES"), fold("ﾊﾞｽ") == fold("バス"), fold("m²") == fold("m2")
    (True, True, False)
    """
    return unicodedata.normalize("NFC", text.strip().translate(_FOLDED))


_TOTALS = ("合計", "計", "総計", "総合計", "小計", "累計", "total", "totals", "grandtotal", "subtotal", "sum")
_MEANS = ("平均", "平均値", "average", "averages", "mean", "avg")


def summary_in(text: str) -> str | None:
    """What a text says that a row is which sums up those above it.

    >>> summary_in("合　計："), summary_in(" Grand total "), summary_in("平均"), summary_in("合計金額")
    ('total', 'total', 'mean', None)
    """
    word = "".join(fold(text).split()).rstrip(":：")
    return "total" if word in _TOTALS else "mean" if word in _MEANS else None


def spellings(letter: str) -> tuple[str, ...]:
    """All that fold to a folded letter.

    >>> spellings("d"), len(spellings("バ"))
    (('d', 'D', 'Ｄ', 'ｄ'), 5)
    """
    single = (letter, *_unfolded()[letter])
    parts = unicodedata.normalize("NFD", letter)
    if len(parts) == 1:
        return single
    return *single, *map("".join, product(*((part, *_unfolded()[part]) for part in parts)))


@cache
def _unfolded() -> dict[str, list[str]]:
    letters: dict[str, list[str]] = defaultdict(list)
    for code in range(_LAST_WITH_CASE + 1):
        if _FOLDED[code] != chr(code):
            letters[_FOLDED[code]].append(chr(code))
    return letters


def as_one_spelling(texts: pl.Series) -> tuple[pl.Series, list[str]]:
    """Texts that differ only in case or width, or in spaces around them, as the most frequent of them; and a note.

    >>> as_one_spelling(pl.Series("ok", ["yes", "Yes ", "no", "Yes"]))[0].to_list()
    ['Yes', 'Yes', 'no', 'Yes']
    """
    texts = texts.str.strip_chars()
    known = texts.drop_nulls()
    found: dict[str, list[tuple[int, str]]] = {}
    for text, number in zip(known.unique(maintain_order=True), known.unique_counts(), strict=True):
        found.setdefault(fold(text), []).append((-number, text))
    several = [spelled for spelled in found.values() if len(spelled) > 1]
    if not several:
        return texts, []
    one = {text: min(spelled, key=lambda pair: pair[0])[1] for spelled in several for _, text in spelled}
    first = ", ".join(repr(text) for _, text in several[0])
    more = f", and {count(len(several) - 1, 'other text')} likewise" if len(several) > 1 else ""
    note = (
        f"Column {texts.name!r} has {first}, which differ only in case or width and were read as "
        f"{one[several[0][0][1]]!r}{more}; where they mean different things, name them differently."
    )
    return texts.replace(one), [note]
