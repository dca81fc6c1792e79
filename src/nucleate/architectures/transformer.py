"""The transformer: attention and a hidden layer, one after another, over tokens or rows of numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from nucleate._arrays import is_real
from nucleate._wording import count, name_parameter
from nucleate.activations import Activation
from nucleate.architectures.blocks import Block, Matrix, Sizes, Vector, draw_parameters, reads
from nucleate.architectures.model import (
    Model,
    Scale,
    check_activation,
    check_choice,
    check_shape,
    check_whole,
    say_shape,
    which_biases,
    wide,
    with_bias,
)
from nucleate.devices import in_float64
from nucleate.errors import ArchitectureError
from nucleate.observe import Layer
from nucleate.observe.layers import signals_seen

NORMS = ("rms", "layer")
READOUTS = ("last", "mean", "every")
UNEMBEDDINGS = ("free", "tied", "none")

as_pytree = partial(
    jax.tree_util.register_dataclass,
    data_fields=["embedding", "position", "blocks", "unembedding", "unembedding_bias", "norm_gains", "norm_biases"],
    meta_fields=["shape", "tokens", "heads", "causal", "residual", "norm", "eps", "tied", "readout", "activation"],
)
"""Of a transformer the parameters, and what it is made like."""


@as_pytree
@dataclass(frozen=True, repr=False)
class Transformer(Model):
    """A transformer of 1 to 4 layers: embedding, blocks of attention and a hidden layer, and an unembedding.

    A block is ``h + O attention(h)``, then ``h + W2 s(W1 h)``; without residuals there is no ``h +``. A norm stands
    before each of the two and before the unembedding. It has gains, and a layer norm biases, where these are asked for;
    they start at 1 and 0, and scales are those of the matrices alone.

    To measures each matrix is a layer, ``query1`` that of the first block, and its rows are the units. Queries and keys
    are outgoing to each other, values to the output matrix, hidden neurons to the matrix behind; what a block hands on,
    to what reads it next. The units of an embedding of tokens are the tokens: what they do is their vector, and they
    weigh as often as they occur.

    Parameters
    ----------
    embedding : array of shape (tokens, w), (w, k) or None
        The vector of each token, or a matrix that reads rows of k numbers; None takes these as they are.
    position : array of shape (length, w) or None
        What is added at each position.
    blocks : tuple of Block
    unembedding : array of shape (c, w) or None
        None where it is tied to the embedding, or the last block gives the outputs.
    unembedding_bias : array of shape (c,) or None
    shape : tuple of int
        Of a row: (length,) for tokens, else (length, k).
    tokens : int or None
        How many tokens there are: a row holds their numbers, from 0. None for real numbers.
    heads : int
    causal : bool
        Whether a position attends to itself and those before it alone.
    residual : bool
    norm : {"rms", "layer"} or None
    eps : float
        What the norm adds to the mean square or the variance: below it, the norm does not hide how small a start is.
    tied : bool
        Whether the unembedding is the embedding.
    readout : {"last", "mean", "every"}
        What outputs are of: the last position, the mean over positions, or every position, one after another.
    activation : Activation
    norm_gains, norm_biases : tuple of arrays of shape (w,), or None
        Of each norm, in the order in which they are passed: the one multiplies what it gives, the other is added.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> small = InitScale("fan_in_gamma", 0.8)
    >>> model = Transformer.create((9,), 20, tokens=20, scale=small, width=8, heads=2)
    >>> model
    Transformer(9 of 20 tokens, 1 layer, 2 heads, width 8, hidden 32, causal, residual, last, 20 outputs, tanh, float32)
    >>> model(np.zeros((5, 9))).shape
    (5, 20)
    """

    embedding: Matrix | None
    position: Matrix | None
    blocks: tuple[Block, ...]
    unembedding: Matrix | None
    unembedding_bias: Vector | None
    shape: tuple[int, ...]
    tokens: int | None
    heads: int
    causal: bool
    residual: bool
    norm: Literal["rms", "layer"] | None
    eps: float
    tied: bool
    readout: Literal["last", "mean", "every"]
    activation: Activation
    norm_gains: tuple[Vector, ...] | None = None
    norm_biases: tuple[Vector, ...] | None = None

    @classmethod
    def create(
        cls,
        shape: Sequence[int],
        outputs: int,
        *,
        scale: Scale,
        tokens: int | None = None,
        layers: int = 1,
        heads: int = 1,
        width: int = 32,
        head_width: int | None = None,
        mlp: int | None = None,
        embedding: bool = True,
        positions: bool = True,
        project: bool = True,
        unembedding: str = "free",
        causal: bool = True,
        residual: bool = True,
        norm: str | None = None,
        eps: float = 1e-5,
        norm_gains: bool = False,
        readout: str = "last",
        activation: str | Activation = "tanh",
        bias: bool | str = False,
        seed: int = 0,
        dtype: str = "float32",
    ) -> "Transformer":
        """Draw a transformer with normal parameters of the given scale.

        Parameters
        ----------
        shape : sequence of int
            Of a row: (length,) for tokens, else (length, k) for rows of k numbers.
        outputs : int
            Of a row; with ``readout="every"`` a multiple of the length.
        scale : InitScale, or mapping of str to InitScale
            The kinds of matrices are those there are of ``embedding``, ``position``, ``query``, ``key``, ``value``,
            ``output``, ``mlp_in``, ``mlp_out`` and ``unembedding``, in this order, the same in all blocks. The fan-in
            is the length of what a matrix multiplies: for the embedding and the positions, whose inputs are one-hot,
            how many there are. The last matrix counts as the output layer for ``gamma``.
        tokens : int, optional
        layers : int
            From 1 to 4.
        heads, width, head_width : int
            A head has ``width / heads`` units by default.
        mlp : int, optional
            How many hidden neurons a block has, by default four times the width; 0 for attention alone.
        embedding, positions, project : bool
            Whether there is a matrix for rows of numbers, vectors for positions, and an output matrix of attention.
            Without an embedding the width is that of the rows.
        unembedding : {"free", "tied", "none"}
            With "none" the last matrix of the last block gives the outputs, which takes a model without residuals.
        causal, residual : bool
        norm : {"rms", "layer"}, optional
        eps : float
        norm_gains : bool
            Whether norms learn a gain for each number of a position, from 1 on, and a layer norm a bias, from 0 on.
        readout : {"last", "mean", "every"}
        activation : str or Activation
        bias : bool, or {"none", "all"}
            Whether the hidden layers and the unembedding have biases.
        seed : int
        dtype : {"float32", "float64"}

        Returns
        -------
        Transformer

        Raises
        ------
        ArchitectureError
            For sizes out of range or that do not fit each other, a choice that there is not, or a scale that has not
            one number for each kind of matrix.
        """
        if tokens is not None:
            tokens = check_whole("number of tokens", tokens)
            shape = check_shape(shape, {1: "(length,) for tokens"})
            if embedding is False:
                raise ArchitectureError("Tokens have no vectors without an embedding; leave embedding=False out.")
        else:
            shape = check_shape(shape, {2: "(length, numbers of a position), or for tokens how many there are"})
        if check_whole("number of layers", layers) > 4:
            raise ArchitectureError(f"The number of layers is {layers}; it must be from 1 to 4.")
        for name, given in {
            "embedding": embedding,
            "positions": positions,
            "project": project,
            "causal": causal,
            "residual": residual,
            "norm_gains": norm_gains,
        }.items():
            if not isinstance(given, bool):
                raise ArchitectureError(f"{name} is {given!r:.60}; it must be True or False.")
        length, outputs = shape[0], check_whole("number of outputs", outputs)
        width = check_whole("width", width) if embedding else shape[-1]
        heads = check_whole("number of heads", heads)
        if head_width is None and width % heads:
            raise ArchitectureError(f"The width {width} is not a multiple of {heads} heads; make it one.")
        units = heads * (width // heads if head_width is None else check_whole("width of a head", head_width))
        hidden = 4 * width if mlp is None else check_whole("number of hidden neurons", mlp, 0)
        check_choice("unembedding", unembedding, UNEMBEDDINGS)
        check_choice("readout", readout, READOUTS)
        check_choice("norm", norm, (None, *NORMS))
        if not is_real(eps) or not 0 <= eps < math.inf:
            raise ArchitectureError(f"The eps is {eps!r:.60}; it must be a finite number, 0 or more.")
        if norm_gains and norm is None:
            raise ArchitectureError(
                f"There is no norm to have gains; leave {name_parameter('norm_gains')} out, or give "
                f"{name_parameter('norm')} too."
            )
        of_position, rest = divmod(outputs, length if readout == "every" else 1)
        if rest:
            raise ArchitectureError(
                f"There are {outputs} outputs, no multiple of the {length} positions that are each read out; give as "
                "many for each."
            )
        if unembedding == "tied" and of_position != tokens:
            raise ArchitectureError(
                f"The unembedding is tied to the embedding of {tokens} tokens, and there are {of_position} outputs; "
                "take a free one."
            )
        if unembedding == "none" and (residual or not (hidden or project)):
            raise ArchitectureError(
                "Without an unembedding the last matrix of the last block gives the outputs, so there must be one and "
                "no residual; take a free unembedding, or residual=False."
            )
        if not project and units != width and (residual or not hidden):
            raise ArchitectureError(
                f"Without an output matrix the heads hand on {units} numbers, and the width is {width}; make them the "
                "same, or leave project=False out."
            )
        if bias == "first":
            raise ArchitectureError(
                "The bias is 'first', and a transformer has none of them or all; choose none or all."
            )
        sizes = Sizes(
            shape=shape,
            tokens=tokens,
            layers=layers,
            width=width,
            units=units,
            hidden=hidden,
            of_position=of_position,
            embedding=embedding,
            positions=positions,
            project=project,
            unembedding=unembedding,
            biases=which_biases(bias, 1)[0],
        )
        chosen: Any = {"norm": norm, "readout": readout}
        gains = sizes.of_norms if norm_gains else None
        return cls(
            **draw_parameters(sizes, scale, seed, dtype),
            shape=shape,
            tokens=tokens,
            heads=heads,
            causal=causal,
            residual=residual,
            eps=float(eps),
            tied=unembedding == "tied",
            activation=check_activation(activation),
            norm_gains=None if gains is None else tuple(np.ones(size, dtype) for size in gains),
            norm_biases=tuple(np.zeros(size, dtype) for size in gains) if gains and norm == "layer" else None,
            **chosen,
        )

    @property
    def width(self) -> int:
        """How many numbers stand for a position between blocks."""
        return int(self.blocks[0].query.shape[1])

    @property
    def kinds(self) -> dict[str, Any]:
        """The matrices of each kind that there is, a tuple of one for each block, by the names of their init scales."""
        named = ("query", "key", "value", "output", "mlp_in", "mlp_out")
        of_blocks = {name: tuple(getattr(block, name) for block in self.blocks) for name in named}
        found = {"embedding": (self.embedding,), "position": (self.position,), **of_blocks}
        found |= {"unembedding": (self.unembedding,)}
        return {name: matrices for name, matrices in found.items() if matrices[0] is not None}

    @property
    def outputs(self) -> int:
        """The number c of outputs of a row."""
        reader = self._reader
        last = self.blocks[-1].output if self.blocks[-1].mlp_out is None else self.blocks[-1].mlp_out
        one = reader if reader is not None else last
        assert one is not None
        return len(one) * (self.shape[0] if self.readout == "every" else 1)

    @property
    def fits_constants(self) -> bool:
        """Whether it can give a constant: by a bias of a hidden layer, a norm or behind, or by ``s(0) != 0``."""
        if self.norm_biases is not None:
            return True
        has_hidden = self.blocks[0].mlp_in is not None
        biases = (self.unembedding_bias, *(block.mlp_in_bias for block in self.blocks))
        return (has_hidden and self.activation.value != 0) or any(bias is not None for bias in biases)

    @property
    def signals(self) -> int:
        """How many numbers a row becomes on its way."""
        length, block = self.shape[0], self.blocks[0]
        hidden = 0 if block.mlp_in is None else 2 * len(block.mlp_in)
        a_position = 4 * self.width + 4 * len(block.query) + hidden + 2 * self.heads * length
        return len(self.blocks) * length * a_position

    def check_rows(self, x: Float[np.ndarray, "n d"]) -> None:
        super().check_rows(x)
        if self.tokens is not None:
            wrong = np.argwhere(~((x >= 0) & (x < self.tokens) & (x == np.round(x))))
            if len(wrong):
                row, column = wrong[0]
                raise ArchitectureError(
                    f"The input has {x[row, column]:g} in row {row + 1}, column {column + 1}, and tokens have the "
                    f"whole numbers 0 to {self.tokens - 1}; give the tokens' numbers, not standardized (in Python "
                    "standardize=False)."
                )

    def __repr__(self) -> str:
        block, first = self.blocks[0], self.embedding is not None
        hidden = "attention alone" if block.mlp_in is None else f"hidden {len(block.mlp_in)}"
        head = len(block.query) // self.heads
        said = [
            self._said_of_rows,
            count(len(self.blocks), "layer"),
            count(self.heads, "head") + ("" if head * self.heads == self.width else f" of {head}"),
            f"width {self.width}",
            hidden,
            *([] if first else ["no embedding"]),
            *([] if self.position is not None else ["no positions"]),
            *([] if block.output is not None else ["no output matrix"]),
            "causal" if self.causal else "bidirectional",
            "residual" if self.residual else "no residual",
            *([] if self.norm is None else [f"{self.norm} norm with eps {self.eps:g}{self._said_of_gains}"]),
            self.readout,
            *(["tied"] if self.tied else ["no unembedding"] if self.unembedding is None else []),
            count(self.outputs, "output"),
            self.activation.name,
            *(["biases"] if block.mlp_in_bias is not None or self.unembedding_bias is not None else []),
            self.dtype,
        ]
        return f"Transformer({', '.join(said)})"

    @property
    def _said_of_rows(self) -> str:
        return say_shape(self.shape) if self.tokens is None else f"{self.shape[0]} of {self.tokens} tokens"

    @property
    def _said_of_gains(self) -> str:
        return "" if self.norm_gains is None else " and gains" if self.norm_biases is None else ", gains and biases"

    def _repr_html_(self) -> str:
        sizes = {"layers": len(self.blocks), "heads": self.heads, "width": self.width, "outputs": self.outputs}
        return self._card({"inputs": self._said_of_rows, **sizes})

    @property
    def _reader(self) -> Matrix | None:
        """What reads the last block."""
        return self.embedding if self.tied else self.unembedding

    @in_float64
    def on_columns(self, x: Float[Array, "d n"]) -> Float[Array, "c n"]:
        return self._forward(x)[0]

    def _forward(self, x: Float[Array, "d n"]) -> tuple[Any, list[dict[str, Any]]]:
        """The outputs, and what the units of each block give, (m, positions, n); a hidden layer's, what enters them.

        Where only the last position is read, the last block computes no other.
        """
        h, looked = self._embedded(x), []
        for number in range(len(self.blocks)):
            last_only = self.readout == "last" and number == len(self.blocks) - 1
            h, seen_of_block = self._through(number, h, slice(-1, None) if last_only else slice(None))
            looked.append(seen_of_block)
        h = self._normed(h, -1)
        reader = self._reader
        if self.readout == "mean":
            h = h.mean(axis=1, keepdims=True)
        outputs = h if reader is None else _times(reader, h)
        if self.unembedding_bias is not None:
            outputs = outputs + self.unembedding_bias[:, None, None]
        return jnp.swapaxes(outputs, 0, 1).reshape(-1, x.shape[-1]), looked

    def _embedded(self, x: Float[Array, "d n"]) -> Float[Array, "w s n"]:
        if self.tokens is not None:
            assert self.embedding is not None
            h = jnp.asarray(self.embedding).T[:, x.astype(jnp.int32)]
        else:
            h = jnp.swapaxes(x.reshape(*self.shape, -1), 0, 1)
            h = h if self.embedding is None else _times(self.embedding, h)
        return h if self.position is None else h + self.position.T[:, :, None]

    def _through(
        self, number: int, h: Float[Array, "w s n"], wanted: slice
    ) -> tuple[Float[Array, "w t n"], dict[str, Any]]:
        block = self.blocks[number]
        place = number * (1 if block.mlp_in is None else 2)
        read = self._normed(h, place)
        query = _times(block.query, read[:, wanted])
        key, value = _times(block.key, read), _times(block.value, read)
        attended = self._attend(query, key, value)
        signals = {"query": query, "key": key, "value": value}
        if block.output is not None:
            attended = signals["output"] = _times(block.output, attended)
        h = h[:, wanted] + attended if self.residual else attended
        if block.mlp_in is None or block.mlp_out is None:
            return h, signals
        entering = _times(block.mlp_in, self._normed(h, place + 1))
        entering = entering if block.mlp_in_bias is None else entering + block.mlp_in_bias[:, None, None]
        leaving = _times(block.mlp_out, self.activation(entering))
        leaving = leaving if block.mlp_out_bias is None else leaving + block.mlp_out_bias[:, None, None]
        signals |= {"mlp_in": entering, "mlp_out": leaving}
        return (h + leaving if self.residual else leaving), signals

    def _attend(
        self, query: Float[Array, "u t n"], key: Float[Array, "u s n"], value: Float[Array, "u s n"]
    ) -> Float[Array, "u t n"]:
        """What heads take from the positions: their values, weighed by the logits ``q . k / sqrt(h)``."""
        q, k, v = (part.reshape(self.heads, -1, *part.shape[1:]) for part in (query, key, value))
        logits = jnp.einsum("hkin,hkjn->hijn", q, k) / math.sqrt(q.shape[1])
        length, asked = key.shape[1], query.shape[1]
        seen = np.tri(asked, length, length - asked, bool) if self.causal else np.ones((asked, length), bool)
        return jnp.einsum("hijn,hkjn->hkin", self._weights(logits, seen), v).reshape(query.shape)

    def _weights(self, logits: Float[Array, "h t s n"], seen: Bool[np.ndarray, "t s"]) -> Float[Array, "h t s n"]:
        """The softmax over the positions that each position sees."""
        return jax.nn.softmax(jnp.where(seen[None, :, :, None], logits, -jnp.inf) if self.causal else logits, axis=2)

    def _normed(self, h: Float[Array, "w s n"], place: int) -> Float[Array, "w s n"]:
        """Behind the norm of this place, in the order in which they are passed."""
        if self.norm is None:
            return h
        centered = h - h.mean(axis=0) if self.norm == "layer" else h
        normed = centered / jnp.sqrt(jnp.mean(centered**2, axis=0) + self.eps)
        if self.norm_gains is not None:
            normed = jnp.asarray(self.norm_gains[place])[:, None, None] * normed
        return normed if self.norm_biases is None else normed + jnp.asarray(self.norm_biases[place])[:, None, None]

    def layers(self, x: Float[np.ndarray, "n d"]) -> list[Layer]:
        self.check_rows(x)
        model, rows = wide(self), np.asarray(x, np.float64)
        embedded, looked = _activity(model, rows.T)
        found = [model._layer_of_embedding(rows, embedded)] if model.embedding is not None else []
        for number, (block, signals) in enumerate(zip(model.blocks, looked, strict=True), 1):
            found += model._layers_of_block(number, block, signals)
        return found

    def _layer_of_embedding(self, rows: Float[np.ndarray, "n d"], embedded: Float[np.ndarray, "w s n"]) -> Layer:
        assert self.embedding is not None
        if self.tokens is None:
            return Layer.linear("embedding", self.embedding, reads(self.blocks[0]), embedded)
        often = np.bincount(rows.astype(np.int64).ravel(), minlength=self.tokens) / rows.size
        return Layer.linear("embedding", self.embedding, np.diag(np.sqrt(often)), self.embedding)

    def _layers_of_block(self, number: int, block: Block, signals: dict[str, Any]) -> list[Layer]:
        following = self.blocks[number] if number < len(self.blocks) else None
        behind = self._reader if following is None else reads(following).T
        if behind is None:
            last = block.output if block.mlp_out is None else block.mlp_out
            assert last is not None
            behind = np.eye(len(last))
        heads_to = block.output if block.output is not None else block.mlp_in if block.mlp_in is not None else behind
        found = [
            Layer.linear(f"query{number}", block.query, block.key, signals["query"]),
            Layer.linear(f"key{number}", block.key, block.query, signals["key"]),
            Layer.linear(f"value{number}", block.value, heads_to.T, signals["value"]),
        ]
        if block.output is not None:
            to = behind if block.mlp_in is None else block.mlp_in
            found.append(Layer.linear(f"output{number}", block.output, to.T, signals["output"]))
        if block.mlp_in is not None and block.mlp_out is not None:
            found.append(
                Layer(
                    name=f"mlp_in{number}",
                    incoming=with_bias(block.mlp_in, block.mlp_in_bias),
                    weights=np.asarray(block.mlp_in),
                    outgoing=np.asarray(block.mlp_out).T,
                    entering=signals_seen(signals["mlp_in"]),
                    leaving=signals_seen(self.activation(signals["mlp_in"])),
                    opposites_are_one=self.activation.parity != "none",
                    at_zero=self.activation.value,
                )
            )
            found.append(
                Layer.linear(f"mlp_out{number}", block.mlp_out, behind.T, signals["mlp_out"], block.mlp_out_bias)
            )
        return found


def _times(matrix: Any, h: Float[Array, "k s n"]) -> Float[Array, "m s n"]:
    """A matrix at each position, as one product."""
    return (matrix @ h.reshape(len(h), -1)).reshape(-1, *h.shape[1:])


@in_float64
@jax.jit
def _activity(model: Transformer, x: Float[Array, "d n"]) -> tuple[Any, Any]:
    return model._embedded(x), model._forward(x)[1]
