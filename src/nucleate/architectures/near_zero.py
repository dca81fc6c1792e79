"""What the package's models are near zero, in closed form: the activation's leading part, and even attention."""

import math
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nucleate.activations import Activation
from nucleate.architectures.convolution import ConvNetwork
from nucleate.architectures.transformer import Transformer


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["embedding", "position", "blocks", "unembedding", "unembedding_bias"],
    meta_fields=["shape", "tokens", "heads", "causal", "residual", "norm", "eps", "tied", "readout", "activation"],
)
@dataclass(frozen=True, repr=False)
class EvenTransformer(Transformer):
    """A transformer whose softmax is replaced by its first order at logits of zero: even weights, and what logits add.

    What logits add is of two orders more in the parameters than the even mean, but the first that moves keys and
    queries (docs/theory.md). `closed_form` makes it of a `Transformer`.

    Parameters
    ----------
    embedding, position, blocks, unembedding, unembedding_bias
        As of `Transformer`.
    shape, tokens, heads, causal, residual, norm, eps, tied, readout, activation
        As of `Transformer`.
    """

    def _attend(
        self, query: Float[Array, "u t n"], key: Float[Array, "u s n"], value: Float[Array, "u s n"]
    ) -> Float[Array, "u t n"]:
        q, k, v = (part.reshape(self.heads, -1, *part.shape[1:]) for part in (query, key, value))
        logits = jnp.einsum("hkin,hkjn->hijn", q, k) / math.sqrt(q.shape[1])
        length, asked = key.shape[1], query.shape[1]
        seen = np.ones((asked, length))
        if self.causal:
            seen = (np.arange(length)[None, :] <= np.arange(length - asked, length)[:, None]).astype(float)
        even = jnp.asarray(seen / seen.sum(axis=1, keepdims=True), logits.dtype)[None, :, :, None]
        weights = even * (1 + logits - jnp.sum(even * logits, axis=2, keepdims=True))
        return jnp.einsum("hijn,hkjn->hkin", weights, v).reshape(query.shape)


def closed_form(model: Any) -> Any:
    """A model near zero in closed form, with the same parameters in the same order; None for a model of another class.

    A norm stays as it is, and so does max pooling, whose leading part it is itself.

    Parameters
    ----------
    model : model

    Returns
    -------
    ConvNetwork, EvenTransformer or None

    Examples
    --------
    >>> from nucleate import InitScale
    >>> model = Transformer.create((3, 2), 1, scale=InitScale("epsilon", 1e-3), width=2, dtype="float64")
    >>> x = np.ones((1, 6))
    >>> bool(abs(closed_form(model)(x) / model(x) - 1).max() < 1e-4)
    True
    """
    if type(model) is ConvNetwork:
        return replace(model, activation=_near_zero(model.activation))
    if type(model) is not Transformer:
        return None
    same = {one.name: getattr(model, one.name) for one in fields(model)}
    return EvenTransformer(**same | {"activation": _near_zero(model.activation)})


def _near_zero(own: Activation) -> Activation:
    name = f"leading part of {own.name}"
    return Activation(name, own.near_zero, own.multiplicity, own.right, own.left, own.value, parity=own.parity)
