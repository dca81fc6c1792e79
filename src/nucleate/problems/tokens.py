"""Sequences of tokens: anchor functions, modular addition, and a text of one's own by its characters."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from nucleate._files import why_unreadable
from nucleate.errors import DataError
from nucleate.problems.made import EVALUATION_ROWS, Made, Part, RowShape, check_option

SHIFTS = (5, 1, -2, -8)
"""What each anchor adds to the key item, as in Zhang et al. 2024 (arXiv 2405.05409)."""
_HELD_OUT_PAIR = (3, 2)
_EXCEPTION = (2, 3)
_EXCEPTION_SHIFT = -6
_ONE_IN = 5


def anchor_identity(rng: np.random.Generator, *, length: int = 9, items: int = 40, rows: int = 2000) -> Made:
    """Find the anchor, and say the item behind it; one in five pairs of anchor and item are held out.

    A sequence is of random items, with one of four anchors at a random place. The target is the item behind the anchor,
    whichever it is (after Zhang et al. 2024, arXiv 2401.08309). Pairs whose numbers add up to a multiple of five never
    occur in training, and the test has these alone: what was learned as a rule holds there, a table does not.
    """
    return _single(rng, (0,) * len(SHIFTS), length, items, rows)


def anchor_single(rng: np.random.Generator, *, length: int = 9, items: int = 40, rows: int = 2000) -> Made:
    """The same, and the target is the item plus what its anchor stands for: 5, 1, -2 or -8."""
    return _single(rng, SHIFTS, length, items, rows)


def anchor_pairs(
    rng: np.random.Generator, *, length: int = 9, items: int = 40, rows: int = 2000, exception: int = 1
) -> Made:
    """Two anchors behind the key item, each adding what it stands for; the pair (4, 3) is held out.

    Composition as in Zhang et al. 2024 (arXiv 2405.05409), whose items are the 80 numbers from 20 on: fifteen of the
    sixteen pairs occur in training, and the test has the sixteenth alone, (4, 3), whose anchors add -10. With
    ``exception=1`` the pair (3, 4) adds -6 in training instead of -10: then a model that answers the test has composed
    the anchors, and one that says -6 there has taken the order of a pair to be without meaning. As there, training
    never has key item x at place x modulo ``length - 2``, and validation and test have it at no other.
    """
    _check_sequence(length, items, rows, 4)
    check_option("exception", exception, 0, 1)
    places = length - 2

    def draw(n: int, *, trained_place: bool, trained_pair: bool) -> Part:
        pairs = [(a, b) for a in range(4) for b in range(4) if ((a, b) != _HELD_OUT_PAIR) is trained_pair]
        chosen = np.array(pairs)[rng.integers(len(pairs), size=n)]
        x = rng.integers(_FIRST_ITEM, _FIRST_ITEM + items, size=(n, length))
        keys, row = rng.integers(_FIRST_ITEM, _FIRST_ITEM + items, size=n), np.arange(n)
        away = rng.integers(1, places, size=n) if trained_place else 0
        at = (keys + away) % places
        x[row, at], x[row, at + 1], x[row, at + 2] = keys, *chosen.T
        shift = np.array(SHIFTS)[chosen].sum(axis=1)
        if exception:
            shift[(chosen == _EXCEPTION).all(axis=1)] = _EXCEPTION_SHIFT
        return Part(x.astype(np.float64), keys + shift)

    note = "The test has the pair of anchors (4, 3) alone, which training does not have; its target adds -10."
    told = " The pair (3, 4) adds -6 in training, so answers of -6 in the test are those of a symmetric rule."
    return Made(
        draw(rows, trained_place=True, trained_pair=True),
        draw(EVALUATION_ROWS, trained_place=False, trained_pair=True),
        draw(EVALUATION_ROWS, trained_place=False, trained_pair=False),
        RowShape((length,), _tokens(items)),
        tuple(range(_tokens(items))),
        (note + (told if exception else ""),),
    )


def _single(rng: np.random.Generator, shifts: Sequence[int], length: int, items: int, rows: int) -> Made:
    _check_sequence(length, items, rows, 2)
    every = np.array([(a, item) for a in range(4) for item in range(items)])
    held_out = every.sum(axis=1) % _ONE_IN == 0

    def draw(n: int, pairs: Int[np.ndarray, "pairs 2"]) -> Part:
        chosen = pairs[rng.integers(len(pairs), size=n)]
        anchors, keys = chosen[:, 0], _FIRST_ITEM + chosen[:, 1]
        x = rng.integers(_FIRST_ITEM, _FIRST_ITEM + items, size=(n, length))
        at, row = rng.integers(0, length - 1, size=n), np.arange(n)
        x[row, at], x[row, at + 1] = anchors, keys
        return Part(x.astype(np.float64), keys + np.array(shifts)[anchors])

    return Made(
        draw(rows, every[~held_out]),
        draw(EVALUATION_ROWS, every[~held_out]),
        draw(EVALUATION_ROWS, every[held_out]),
        RowShape((length,), _tokens(items)),
        tuple(range(_tokens(items))),
        ("The test has the pairs of an anchor and an item alone that training does not have.",),
    )


_FIRST_ITEM = len(SHIFTS) - 2 * min(SHIFTS)
"""The token of the first item: below it are the anchors, and what two anchors make of small items."""


def _tokens(items: int) -> int:
    return _FIRST_ITEM + items + 2 * max(SHIFTS)


def _check_sequence(length: int, items: int, rows: int, least: int) -> None:
    check_option("length", length, least)
    check_option("items", items, 2 * _ONE_IN, 10_000)
    check_option("rows", rows, 4, 10_000_000)


def modular_addition(rng: np.random.Generator, *, p: int = 31, share: float = 0.5) -> Made:
    """``a + b`` modulo ``p``: rows are the tokens a, b and =, of a share of all pairs in training.

    Half of the other pairs are for validation, half for the test (after Power et al. 2022, arXiv 2201.02177).
    """
    check_option("p", p, 5, 2000)
    check_option("share", share, 0.05, 0.95)
    a, b = np.divmod(rng.permutation(p * p), p)
    x, y = np.stack([a, b, np.full(p * p, p)], axis=1).astype(np.float64), (a + b) % p
    first = round(share * p * p)
    second = first + (p * p - first) // 2
    cuts = (slice(first), slice(first, second), slice(second, None))
    train, validation, test = (Part(x[rows], y[rows]) for rows in cuts)
    return Made(train, validation, test, RowShape((3,), p + 1), tuple(range(p)))


def text(rng: np.random.Generator, file: str, *, length: int = 16, rows: int = 4000) -> Made:
    """The next character of a text of one's own, from the ``length`` before it.

    Tokens are the characters of the file, in the order of their code points. The first three fifths of the text are for
    training, the next fifth for validation, the last for the test, and no window crosses; from each part at most
    ``rows`` windows are taken, of validation and test a quarter of that, evenly spaced.
    """
    check_option("length", length, 1, 10_000)
    check_option("rows", rows, 16, 10_000_000)
    if not file:
        raise DataError("text: names no file; write its path behind the colon, as text:book.txt.")
    path = Path(file)
    try:
        # A mark of the encoding at the beginning is no character of the text.
        told = path.read_text("utf-8-sig")
    except FileNotFoundError:
        by_colon = re.search(r"^(.+):(\w+=.*)$", file)
        close = f" (options stand behind a comma: text:{by_colon[1]},{by_colon[2]})" if by_colon else ""
        raise DataError(f"There is no file {file}; check the path behind text:{close}.") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"The text {file} is not UTF-8 (at byte {error.start + 1}); save it as UTF-8, as by iconv -t utf-8."
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"The text {file} cannot be read ({why_unreadable(error)}); check the path.") from None
    characters = sorted(set(told))
    if len(characters) < 2 or len(told) < 25 * (length + 4):
        raise DataError(
            f"The text {file} has {len(told)} characters, {len(characters)} different ones; windows of {length} need "
            f"{25 * (length + 4)} or more, and two different ones."
        )
    numbers = {character: number for number, character in enumerate(characters)}
    tokens = np.array([numbers[character] for character in told])
    bounds = [0, 3 * len(tokens) // 5, 4 * len(tokens) // 5, len(tokens)]

    def windows(start: int, end: int, most: int) -> Part:
        possible = end - start - length
        starts = start + np.unique(np.linspace(0, possible - 1, min(most, possible)).round().astype(int))
        x = tokens[starts[:, None] + np.arange(length)]
        return Part(x.astype(np.float64), np.array(characters)[tokens[starts + length]])

    most = [rows, max(rows // 4, 4), max(rows // 4, 4)]
    train, validation, test = (windows(bounds[k], bounds[k + 1], most[k]) for k in range(3))
    unknown = set(tokens[bounds[1] :].tolist()) - set(tokens[: bounds[1]].tolist())
    notes = [f"Of {len(told):,} characters, {len(characters)} different ones, windows of {length} were taken."]
    if unknown:
        said = ", ".join(repr(characters[token]) for token in sorted(unknown)[:8])
        notes.append(f"The part for training does not have {said}, which the others have.")
    return Made(train, validation, test, RowShape((length,), len(characters)), tuple(characters), tuple(notes))
