"""Spellings of one text: upper and lower case, full and half width."""

import unicodedata
from collections import defaultdict
from functools import cache
from itertools import product

_LAST_WITH_CASE = 0x1E943
_IDEOGRAPHIC_SPACE, _FORMS = 0x3000, range(0xFF00, 0xFFEF)


@cache
def _folded() -> dict[int, str]:
    """What a letter is folded to, where that is not itself."""
    table = {}
    for code in range(_LAST_WITH_CASE + 1):
        letter = plain = chr(code)
        if code in _FORMS or code == _IDEOGRAPHIC_SPACE:
            kind, _, wide = unicodedata.decomposition(letter).partition(" ")
            plain = chr(int(wide, 16)) if kind in ("<wide>", "<narrow>") else letter
        lower = plain.casefold()
        plain = lower if len(lower) == 1 else plain
        if plain != letter:
            table[code] = plain
    return table


def fold(text: str) -> str:
    """What texts have in common that differ only in case, in width, or in the spaces around them.

    >>> fold(" Ｙｅｓ") == fold("YES"), fold("ﾊﾞｽ") == fold("バス"), fold("m²") == fold("m2")
    (True, True, False)
    """
    return unicodedata.normalize("NFC", text.strip().translate(_folded()))


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
    for code, plain in _folded().items():
        letters[plain].append(chr(code))
    return letters
