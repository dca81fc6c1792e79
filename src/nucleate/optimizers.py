"""The optimisers runs may use, by name; each is optax's."""

from typing import Literal, get_args

import optax
from jaxtyping import Array, Float

from nucleate.errors import SpecError

OptimizerName = Literal["gd", "momentum", "adam"]

ADAM_EPSILON = 1e-8
"""Adam divides by sqrt(v) + this: gradients far below it do not move as Adam's do (optax's and PyTorch's default)."""


def make_optimizer(
    name: OptimizerName, learning_rate: float | Float[Array, ""], momentum: float = 0.9
) -> optax.GradientTransformation:
    """The optax transformation.

    Parameters
    ----------
    name : {"gd", "momentum", "adam"}
        ``gd``: theta -= lr g. ``momentum``: heavy ball, m = momentum m + g, theta -= lr m. ``adam``: Kingma and Ba
        2015, arXiv 1412.6980, with beta = (0.9, 0.999).
    learning_rate : float or traced scalar
    momentum : float
        Read by ``momentum`` alone.

    Raises
    ------
    SpecError
        For another name.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> gd = make_optimizer("gd", 0.1)
    >>> updates, _ = gd.update(jnp.array([2.0]), gd.init(jnp.array([1.0])))
    >>> float(updates[0])
    -0.2
    """
    match name:
        case "gd":
            return optax.sgd(learning_rate)
        case "momentum":
            return optax.sgd(learning_rate, momentum=momentum)
        case "adam":
            return optax.adam(learning_rate, eps=ADAM_EPSILON)
        case _:
            raise SpecError(f"There is no optimizer {name!r}; choose one of {', '.join(get_args(OptimizerName))}.")
