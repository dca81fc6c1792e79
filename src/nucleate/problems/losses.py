"""The two losses, and the residual that drives training from small initialization."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Task = Literal["regression", "classification"]


def squared_error(outputs: Float[Array, "n c"], y: Float[Array | np.ndarray, "n c"]) -> Float[Array, ""]:
    """``1/(2n) sum_i |f_i - y_i|^2``, the empirical risk of Chen and Luo (arXiv 2402.15958).

    Examples
    --------
    >>> float(squared_error(jnp.zeros((2, 1)), jnp.array([[1.0], [3.0]])))
    2.5
    """
    return 0.5 * jnp.mean(jnp.sum((outputs - y) ** 2, axis=1))


def cross_entropy(outputs: Float[Array, "n c"], y: Float[Array | np.ndarray, "n c"]) -> Float[Array, ""]:
    """``-1/n sum_i y_i . log softmax(f_i)`` with the softmax over columns and one-hot rows ``y_i``.

    Examples
    --------
    >>> bool(jnp.isclose(cross_entropy(jnp.zeros((5, 2)), jnp.eye(2)[jnp.array([0, 1, 1, 0, 1])]), jnp.log(2)))
    True
    """
    return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(outputs, axis=1), axis=1))


def residual(task: Task, outputs: Float[Array, "n c"], y: Float[Array | np.ndarray, "n c"]) -> Float[Array, "n c"]:
    """``-n`` times the gradient of the task's loss by the outputs: the target minus what is predicted for it.

    Squared error predicts the outputs themselves, cross-entropy their softmax.
    """
    return jnp.asarray(y) - (outputs if task == "regression" else jax.nn.softmax(outputs, axis=1))
