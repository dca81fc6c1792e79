"""What a transformer is made of: sizes that fit each other, and the matrices of its blocks, drawn in them."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from nucleate.architectures.model import Draws, Scale

Matrix = Float[Array | np.ndarray, "m k"]
Vector = Float[Array | np.ndarray, " m"]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["query", "key", "value", "output", "mlp_in", "mlp_out", "mlp_in_bias", "mlp_out_bias"],
    meta_fields=[],
)
@dataclass(frozen=True)
class Block:
    """A layer of a transformer: attention, and a hidden layer at each position.

    Parameters
    ----------
    query, key, value : arrays of shape (heads h, w)
        Row k holds the weights of unit k; those of a head follow each other. ``w`` is the width of what they read.
    output : array of shape (w, heads h) or None
        None hands on what the heads give.
    mlp_in, mlp_out : arrays of shapes (m, w) and (w, m), or None
        The hidden layer; None without one.
    mlp_in_bias, mlp_out_bias : arrays of shapes (m,) and (w,), or None
    """

    query: Matrix
    key: Matrix
    value: Matrix
    output: Matrix | None
    mlp_in: Matrix | None
    mlp_out: Matrix | None
    mlp_in_bias: Vector | None
    mlp_out_bias: Vector | None


def reads(block: Block) -> Float[np.ndarray, "w units"]:
    """What a block reads each number of a position by."""
    return np.concatenate([block.query, block.key, block.value]).T


@dataclass(frozen=True)
class Sizes:
    """The sizes of a transformer, which fit each other, in the terms of `Transformer.create`.

    ``units`` are those of all heads of a block, ``hidden`` those of its hidden layer, 0 without one, and
    ``of_position`` are the outputs of a position that is read out.
    """

    shape: tuple[int, ...]
    tokens: int | None
    layers: int
    width: int
    units: int
    hidden: int
    of_position: int
    embedding: bool
    positions: bool
    project: bool
    unembedding: str
    biases: bool

    @property
    def kinds(self) -> list[str]:
        """The kinds of matrices that there are, in the order of a scale with several numbers."""
        return [
            *(["embedding"] if self.embedding else []),
            *(["position"] if self.positions else []),
            *("query", "key", "value"),
            *(["output"] if self.project else []),
            *(["mlp_in", "mlp_out"] if self.hidden else []),
            *(["unembedding"] if self.unembedding == "free" else []),
        ]

    @property
    def of_norms(self) -> list[int]:
        """How many numbers each norm is of, in the order in which they are passed."""
        # Behind heads without an output matrix a position has as many numbers as they give.
        of_block = [self.width, self.width if self.project else self.units] if self.hidden else [self.width]
        return [*of_block * self.layers, self.of_position if self.unembedding == "none" else self.width]


def draw_parameters(sizes: Sizes, scale: Scale, seed: int, dtype: str) -> dict[str, Any]:
    """The matrices of a transformer with their biases, by its fields."""
    draws = Draws(scale, sizes.kinds, seed, dtype)
    width, tokens = sizes.width, sizes.tokens

    def draw(kind: str, m: int, k: int, *, bias: bool = False, output: bool = False) -> Any:
        return draws.matrix(kind, (m, k), fan_in=k, bias=bias and sizes.biases, output=output)

    drawn: dict[str, Any] = dict.fromkeys(("embedding", "position", "unembedding", "unembedding_bias"))
    if sizes.embedding and tokens is not None:
        drawn["embedding"], _ = draws.matrix("embedding", (tokens, width), fan_in=tokens, units=width)
    elif sizes.embedding:
        drawn["embedding"], _ = draw("embedding", width, sizes.shape[1])
    if sizes.positions:
        length = sizes.shape[0]
        drawn["position"], _ = draws.matrix("position", (length, width), fan_in=length, units=width)
    blocks = []
    for number in range(sizes.layers):
        ends = sizes.unembedding == "none" and number == sizes.layers - 1
        to = sizes.of_position if ends else width
        (query, _), (key, _), (value, _) = (draw(kind, sizes.units, width) for kind in ("query", "key", "value"))
        parts: list[Any] = [query, key, value, *[None] * 5]
        if sizes.project:
            parts[3], _ = draw("output", width if sizes.hidden else to, sizes.units, output=ends and not sizes.hidden)
        if sizes.hidden:
            parts[4], parts[6] = draw("mlp_in", sizes.hidden, width if sizes.project else sizes.units, bias=True)
            parts[5], parts[7] = draw("mlp_out", to, sizes.hidden, bias=True, output=ends)
        blocks.append(Block(*parts))
    if sizes.unembedding == "free":
        drawn["unembedding"], drawn["unembedding_bias"] = draw(
            "unembedding", sizes.of_position, width, bias=True, output=True
        )
    return drawn | {"blocks": tuple(blocks)}
