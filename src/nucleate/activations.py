"""Activation functions and what each does at zero, the only thing initial condensation asks of them.

Near zero an activation is ``s(z) = value + c z^p + o(z^p)``, with ``c`` one number on each side of zero. The power
``p`` is the *multiplicity* (Zhou et al. 2022, arXiv 2105.11686, definition 1): a layer condenses onto at most ``2 p``
directions. Smooth activations have the same ``c`` on both sides; ReLU and leaky ReLU do not.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nucleate.errors import ArchitectureError


@dataclass(frozen=True)
class Activation:
    """An elementwise function ``s`` and its leading behaviour at zero.

    Parameters
    ----------
    name : str
        The name it is saved and asked for by.
    function : callable
        ``s``, from an array to an array of the same shape and dtype.
    multiplicity : int
        ``p``, the order of the leading term at zero.
    right, left : float
        ``c`` in ``s(z) - s(0) ~ c z^p`` for ``z > 0`` and for ``z < 0``.
    value : float
        ``s(0)``.
    parity : {"odd", "even", "none"}
        Whether ``s(-z)`` is ``-s(z)``, ``s(z)`` or neither: decides whether opposite directions do the same work.
    lipschitz : float
        A bound of ``|s'|``, for bounds that hold everywhere; infinite where none is known.

    Examples
    --------
    >>> get_activation("tanh").slope
    1.0
    >>> get_activation("xtanh").multiplicity
    2
    """

    name: str
    function: Callable[[Float[Array, "..."]], Float[Array, "..."]] = field(repr=False)
    multiplicity: int
    right: float
    left: float
    value: float = 0.0
    parity: Literal["odd", "even", "none"] = "none"
    lipschitz: float = math.inf

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.function(z)

    def __reduce__(self) -> tuple[Callable[[str], "Activation"], tuple[str]]:
        # Pickled by name: functions of one's own need not be picklable, and what is loaded is what is registered.
        return get_activation, (self.name,)

    @property
    def slope(self) -> float | None:
        """``s'(0)``; None where the two sides differ (ReLU, leaky ReLU)."""
        if self.multiplicity > 1:
            return 0.0
        return self.right if self.right == self.left else None

    def leading(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        """The leading homogeneous part ``c z^p``, of the same shape and dtype as ``z``."""
        coefficient = self.right if self.right == self.left else jnp.where(z > 0, self.right, self.left)
        return jnp.asarray(coefficient, z.dtype) * z**self.multiplicity


def _linear(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return z


def _leaky_relu(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return jax.nn.leaky_relu(z, 0.01)


def _xtanh(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return z * jnp.tanh(z)


def _sigmoid_shifted(z: Float[Array, "..."]) -> Float[Array, "..."]:
    # sigmoid(z) - 1/2 without its cancellation near zero.
    return 0.5 * jnp.tanh(0.5 * z)


def _softplus_shifted(z: Float[Array, "..."]) -> Float[Array, "..."]:
    # log((1 + e^z) / 2), by softplus(z) = z + softplus(-z) without overflow and without cancellation near zero.
    # (Written with where: at zero the derivatives of maximum and abs would not add up to 1/2.)
    size = jnp.where(z > 0, z, -z)
    return jnp.where(z > 0, z, 0) + jnp.log1p(0.5 * jnp.expm1(-size))


def _gelu(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return jax.nn.gelu(z, approximate=False)


_REGISTRY: dict[str, Activation] = {}


def register_activation(activation: Activation) -> Activation:
    """Make an activation of one's own known by its name, so that networks with it can be saved, loaded and swept.

    Raises
    ------
    ArchitectureError
        If another activation already has that name, or the multiplicity is below 1.

    Examples
    --------
    >>> cubic = register_activation(Activation("z^2 tanh z", lambda z: z**2 * jnp.tanh(z), 3, 1.0, 1.0, parity="odd"))
    >>> get_activation("z^2 tanh z") is cubic
    True
    """
    known = _REGISTRY.get(activation.name)
    if known is not None and known != activation:
        raise ArchitectureError(f"An activation named {activation.name!r} is already registered; choose another name.")
    if activation.multiplicity < 1:
        raise ArchitectureError(
            f"Activation {activation.name!r} has multiplicity {activation.multiplicity}; it must be 1 or more."
        )
    _REGISTRY[activation.name] = activation
    return activation


def get_activation(name: str) -> Activation:
    """The activation of that name.

    Raises
    ------
    ArchitectureError
        If there is none, with the names there are.
    """
    if name not in _REGISTRY:
        raise ArchitectureError(f"There is no activation {name!r}; choose one of {', '.join(_REGISTRY)}.")
    return _REGISTRY[name]


def activation_names() -> tuple[str, ...]:
    """The names of all registered activations, the package's own first."""
    return tuple(_REGISTRY)


for _activation in (
    Activation("linear", _linear, 1, 1.0, 1.0, parity="odd", lipschitz=1.0),
    Activation("tanh", jnp.tanh, 1, 1.0, 1.0, parity="odd", lipschitz=1.0),
    Activation("relu", jax.nn.relu, 1, 1.0, 0.0, lipschitz=1.0),
    Activation("leaky_relu", _leaky_relu, 1, 1.0, 0.01, lipschitz=1.0),
    Activation("xtanh", _xtanh, 2, 1.0, 1.0, parity="even", lipschitz=1.1996786403),
    Activation("sigmoid_shifted", _sigmoid_shifted, 1, 0.25, 0.25, parity="odd", lipschitz=0.25),
    Activation("softplus_shifted", _softplus_shifted, 1, 0.5, 0.5, lipschitz=1.0),
    Activation("gelu", _gelu, 1, 0.5, 0.5, lipschitz=1.1289041452),
    Activation("silu", jax.nn.silu, 1, 0.5, 0.5, lipschitz=1.0998393202),
):
    register_activation(_activation)
