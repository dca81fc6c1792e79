"""What the package's models are near zero, in closed form: the activation's leading part, and even attention."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from nucleate._wording import say_error
from nucleate.activations import Activation
from nucleate.architectures.convolution import ConvNetwork
from nucleate.architectures.model import wide
from nucleate.architectures.transformer import Transformer, as_pytree
from nucleate.devices import in_float64
from nucleate.errors import ArchitectureError
from nucleate.models import take_apart

_SHRINK, _TRIES, _CLOSE = 0.25, 12, 0.02


@as_pytree
@dataclass(frozen=True, repr=False)
class EvenTransformer(Transformer):
    """A transformer whose softmax is replaced by its first order at logits of zero: even weights, and what logits add.

    What logits add is of two orders more in the parameters than the even mean, but the first that moves keys and
    queries (docs/theory.md). `closed_form` makes it of a `Transformer`.
    """

    def _weights(self, logits: Float[Array, "h t s n"], seen: Bool[np.ndarray, "t s"]) -> Float[Array, "h t s n"]:
        even = jnp.asarray(seen / seen.sum(axis=1, keepdims=True), logits.dtype)[None, :, :, None]
        return even * (1 + logits - jnp.sum(even * logits, axis=2, keepdims=True))


def closed_form(model: Any) -> Any:
    """A model near zero in closed form, with the same parameters in the same order; None where none is known.

    A norm stays as it is, and so does max pooling, whose leading part it is itself. A model of your own says its closed
    form by a method ``near_zero()``; `check_closed_form` holds it against the model.

    Parameters
    ----------
    model : model

    Returns
    -------
    model or None

    Raises
    ------
    ArchitectureError
        If the model's own method fails.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> model = Transformer.create((3, 2), 1, scale=InitScale("epsilon", 1e-3), width=2, dtype="float64")
    >>> x = np.ones((1, 6))
    >>> bool(abs(closed_form(model)(x) / model(x) - 1).max() < 1e-4)
    True
    """
    if hasattr(model, "near_zero"):
        return _own_closed_form(model)
    if type(model) is ConvNetwork:
        return replace(model, activation=leading_part(model.activation))
    if type(model) is not Transformer:
        return None
    same = {one.name: getattr(model, one.name) for one in fields(model)}
    return EvenTransformer(**same | {"activation": leading_part(model.activation)})


def _own_closed_form(model: Any) -> Any:
    try:
        return model.near_zero()
    except Exception as error:
        raise ArchitectureError(
            f"near_zero() of the {type(model).__name__} fails ({say_error(error)}); correct it."
        ) from error


@in_float64
def check_closed_form(model: Any, x: Float[np.ndarray, "n d"]) -> None:
    """Refuse what a model of one's own says of itself by ``near_zero()`` if it is not what it is near zero.

    Held against each other are the parameters, and the outputs as all parameters are scaled down together.
    """
    name, closed = type(model).__name__, _own_closed_form(model)
    (own, frame), (parameters, lead) = take_apart(model), take_apart(closed)
    both = [jax.tree.leaves(each) for each in (own, parameters)]
    kinds = [[(leaf.shape, leaf.dtype) for leaf in leaves] for leaves in both]
    if kinds[0] != kinds[1] or not all(map(np.array_equal, *both)):
        raise ArchitectureError(
            f"near_zero() of the {name} gives a model with other parameters; give one with the same in the same order."
        )
    whole = wide(own)

    @jax.jit
    def outputs(by: Float[Array, ""]) -> tuple[Float[Array, "n c"], Float[Array, "n c"]]:
        scaled = jax.tree.map(lambda leaf: by * leaf, whole)
        return frame(scaled)(jnp.asarray(x)), lead(scaled)(jnp.asarray(x))

    apart, by = math.inf, 1.0
    for _ in range(_TRIES):
        try:
            found, expected = map(np.asarray, outputs(jnp.asarray(by)))
        except Exception as error:
            raise ArchitectureError(
                f"What near_zero() of the {name} gives fails on the data ({say_error(error)}); correct it."
            ) from error
        if found.shape != expected.shape or not np.isfinite(expected).all():
            what = f"of shape {expected.shape}" if found.shape != expected.shape else "that are NaN or infinite"
            raise ArchitectureError(
                f"What near_zero() of the {name} gives has outputs {what}, where the model's are {found.shape}; "
                "correct it."
            )
        # What is the same on all rows would hide what depends on them.
        same, its_same = (each[:1] if len(x) > 1 else np.zeros_like(each) for each in (found, expected))
        size = np.abs(found - same).max()
        if not np.isfinite(size) or size == 0:
            break
        common = np.abs(same - its_same).max() / max(np.abs(same).max(), size)
        apart = float(max(np.abs((found - same) - (expected - its_same)).max() / size, common))
        if apart <= _CLOSE:
            return
        by *= _SHRINK
    raise ArchitectureError(
        f"near_zero() of the {name} is not what it is near zero: with all parameters at {by:.1g} of their size the "
        f"outputs are {apart:.0%} apart; correct it, or leave the method out, and it is read off the model."
    )


def leading_part(own: Activation) -> Activation:
    """What leads of an activation at zero, with its value there."""
    name = f"leading part of {own.name}"
    return Activation(name, own.near_zero, own.multiplicity, own.right, own.left, own.value, parity=own.parity)
