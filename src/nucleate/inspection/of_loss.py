"""What the graph that autograd keeps of a loss tells of its making; it can be read behind ``backward`` too."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

NEAR = 64
"""So many terms of a loss are followed, each for so many operations."""
_AS_THEY_ARE = (
    *("View", "UnsafeView", "ReshapeAlias", "Transpose", "Permute", "T", "Squeeze", "Unsqueeze"),
    *("Select", "Slice", "Clone", "ToCopy"),
)
"""Operations that leave numbers as they are."""
_TAKEN_AGAIN = {"LogSoftmax": "Softmax", "BinaryCrossEntropyWithLogits": "Sigmoid", "LogSigmoid": "Sigmoid"}
"""What takes numbers that have not passed something for what goes into it."""
_PAIRING = ("Sub", "Mul", "Expand")

Shape = tuple[int, ...]


class Making(NamedTuple):
    """How a loss came about.

    ``squashed`` says what numbers have passed that the loss takes through the same again; ``paired`` the shape of those
    of which each row was taken with every row of others that have no gradient, as targets have none.
    """

    squashed: str | None = None
    paired: Shape | None = None


def making_of(loss: Any) -> Making:
    """What is known of the making of a loss; of one that is a number, or whose graph is compiled, nothing."""
    squashed = paired = None
    for term in _terms(getattr(loss, "grad_fn", None)):
        kinds = [(_kind(one), _shape(one)) for one in term]
        for (kind, large), (before, small) in pairwise(kinds):
            n = small[0] if small else 0
            # Where an axis was added for it pairs are meant, as of a distance between two sets.
            if n > 1 and small in ((n,), (n, 1)) and large == (n, n) and kind in _PAIRING and before != "Unsqueeze":
                paired = small
        for kind, before in pairwise(kind for kind, _ in kinds if kind not in _AS_THEY_ARE):
            if _TAKEN_AGAIN.get(kind) == before:
                squashed = before.lower()
    return Making(squashed, paired)


def _terms(end: Any) -> Iterator[list[Any]]:
    """Of each number that was added to a loss its operations, the last one first, as far as each is of one alone."""
    ends = [end]
    for _ in range(NEAR):
        at, term = ends.pop() if ends else None, list[Any]()
        while at is not None and len(term) < NEAR:
            term.append(at)
            made_of = [one for one, _ in at.next_functions if one is not None]
            at = made_of[0] if len(made_of) == 1 else None
            if at is None and not _shape(term[-1]):
                ends += made_of
        if term:
            yield term


def _kind(operation: Any) -> str:
    return str(operation.name()).partition("Backward")[0]


def _shape(operation: Any) -> Shape:
    """Of what it made, () of a number."""
    made = getattr(operation, "_input_metadata", None)
    try:
        return tuple(made[0].shape) if made else ()
    except RuntimeError:
        # Nested tensors have none.
        return (0,)
