"""What the graph that autograd keeps of a loss tells of its making; it can be read behind ``backward`` too."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

NEAR = 64
"""So many terms of a loss are followed, each for so many operations."""
_AS_THEY_ARE = (
    *("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze"),
    *("Select", "Slice", "Clone", "ToCopy"),
)
"""Operations that leave numbers as they are, and the last axis the last."""
_TAKEN_AGAIN = {"LogSoftmax": "Softmax", "BinaryCrossEntropyWithLogits": "Sigmoid", "LogSigmoid": "Sigmoid"}
"""What takes numbers that have not passed something for what goes into it."""
_PAIRING = ("Sub", "Mul", "Expand")
_BY_HAND = ("Unsqueeze", "AccumulateGrad")
_SHAPED = ("View", "UnsafeView", "ReshapeAlias")
_OF_MATRICES = ("LinalgSlogdet", "LinalgCholeskyEx", "Diagonal", "Triangular")

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
        steps = [_Step(type(one).__name__.partition("Backward")[0], _shape(one), _axis(one)) for one in term]
        for place, (after, before) in enumerate(pairwise(steps)):
            if after.kind in _PAIRING and _is_paired(before.shape, after.shape) and _by_chance(steps, place):
                paired = before.shape
        for after, before in pairwise(step for step in steps if step.kind not in _AS_THEY_ARE):
            if _TAKEN_AGAIN.get(after.kind) == before.kind and after.axis == before.axis:
                squashed = before.kind.lower()
    return Making(squashed, paired)


class _Step(NamedTuple):
    """An operation: its kind, the shape of what it made, and the axis that it is along."""

    kind: str
    shape: Shape
    axis: Any


def _is_paired(small: Shape, large: Shape) -> bool:
    n = small[0] if small else 0
    return n > 1 and small in ((n,), (n, 1)) and large == (n, n)


def _by_chance(steps: Sequence[_Step], place: int) -> bool:
    """Whether nothing tells that the pairs made there are meant.

    An axis made for them does, and a parameter taken with each row; and so does a use of the pairs for more than their
    mean, as of each row's largest or of a determinant.
    """
    behind, single = steps[:place], steps[place + 1].shape
    own = list(takewhile(lambda step: step.shape in (single, single[:1]), steps[place + 1 :]))
    made = _BY_HAND + (_SHAPED if len(single) == 2 else ())
    uses = all(step.shape in ((), steps[place].shape) and step.kind not in _OF_MATRICES for step in behind)
    return uses and not any(step.kind in made for step in own)


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


def _axis(operation: Any) -> Any:
    """Which of the axes, counted from the last."""
    axis = getattr(operation, "_saved_dim", None)
    if not isinstance(axis, int):
        return None
    # PyTorch may keep a negative one as a large number.
    return axis - (2**64 if axis >= 2**63 else len(_shape(operation)))


def _shape(operation: Any) -> Shape:
    """Of what it made, () of a number."""
    made = getattr(operation, "_input_metadata", None)
    try:
        return tuple(made[0].shape) if made else ()
    except RuntimeError:
        # Nested tensors have none.
        return (0,)
