"""Activation functions and what each does at zero, the only thing initial condensation asks of them.

Near zero an activation is ``s(z) = value + c z^p + o(z^p)``, with ``c`` one number on each side of zero. The power
``p`` is the *multiplicity* (Zhou et al. 2022, arXiv 2105.11686, definition 1): a layer condenses onto at most ``2 p``
directions. Smooth activations have the same ``c`` on both sides; ReLU, leaky ReLU and SELU do not. Where ``value`` is
not zero, as of the sigmoid and softplus, every neuron also gives the next layer a constant, as a bias would.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nucleate._arrays import is_real, is_whole
from nucleate._wording import choose_one, say_error, shown
from nucleate.devices import in_float64
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
        A bound of ``|s'|``, for bounds that hold everywhere; infinite where none is known. It is checked from -20 to
        20, and beyond that it is the definer's word.
    onnx : callable or None
        The function as nodes of an ONNX graph: ``onnx(graph, z)`` adds them by ``graph.add(kind, *inputs)`` and
        ``graph.number(value)``, which return names, and returns the name of the result. Without it, networks can only
        be exported as safetensors.

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
    onnx: Callable[[Any, str], str] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ArchitectureError(f"An activation's name is {self.name!r:.60}; give a text, by which files call it.")
        if not callable(self.function):
            raise ArchitectureError(
                f"The function of the activation {self.name!r} is {self.function!r:.60}; give one of jax.numpy."
            )
        if not is_whole(self.multiplicity) or self.multiplicity < 1:
            raise ArchitectureError(
                f"Activation {self.name!r} has multiplicity {self.multiplicity!r}; it must be 1 or more."
            )
        for side in ("right", "left", "value", "lipschitz"):
            number = getattr(self, side)
            if not is_real(number) or math.isnan(number):
                raise ArchitectureError(f"Activation {self.name!r} has {side} = {number!r:.60}; it must be a number.")
        if self.onnx is not None and not callable(self.onnx):
            raise ArchitectureError(
                f"Activation {self.name!r} has onnx = {self.onnx!r:.60}; give a function onnx(graph, z) or None."
            )

    @in_float64
    def __call__(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.function(z)

    def check(self) -> None:
        """Refuse an activation of one's own that is not what it says of itself, as far as some values tell.

        Raises
        ------
        ArchitectureError
            With the claim that does not hold.
        """
        if not self.is_built_in:
            _check(self)

    def __reduce__(self) -> Any:
        # The package's own go by name, since some of their functions cannot be pickled.
        if self.is_built_in:
            return get_activation, (self.name,)
        return object.__reduce__(self)

    @property
    def is_built_in(self) -> bool:
        """Whether it is one of the package's own."""
        return _BUILT_IN.get(self.name) is self

    @property
    def slope(self) -> float | None:
        """``s'(0)``; None where the two sides differ (ReLU, leaky ReLU, SELU)."""
        if self.multiplicity > 1:
            return 0.0
        return self.right if self.right == self.left else None

    @in_float64
    def leading(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        """The leading homogeneous part ``c z^p``, of the same shape and dtype as ``z``.

        Parameters
        ----------
        z : array

        Returns
        -------
        array
        """
        coefficient = self.right if self.right == self.left else jnp.where(z > 0, self.right, self.left)
        return jnp.asarray(coefficient, z.dtype) * z**self.multiplicity

    @in_float64
    def near_zero(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        """``s(0) + c z^p``, of the same shape and dtype as ``z``: the constant and the leading part.

        Parameters
        ----------
        z : array

        Returns
        -------
        array
        """
        lead = self.leading(z)
        return lead if self.value == 0 else lead + jnp.asarray(self.value, z.dtype)


@cache
def _check(activation: Activation) -> None:
    p, claims = activation.multiplicity, {1.0: activation.right, -1.0: activation.left}
    try:
        values, (near, mirrored) = (
            _values_at(activation, [s * z for s in claims for z in _NEAR]),
            (_values_at(activation, [sign * z for z in _FAR]) for sign in (1.0, -1.0)),
        )
    except Exception as error:
        raise ArchitectureError(
            f"Activation {activation.name!r} cannot be computed ({say_error(error)[:160]}); its function takes "
            "an array and gives one of the same shape and dtype, by jax.numpy (not numpy or math), each number from "
            "the one in its place."
        ) from error
    points = np.array([side * point for side in claims for point in (*_NEAR, *_FAR)])
    if not (finite := np.isfinite(_slopes(activation.function, points))).all():
        raise ArchitectureError(
            f"Activation {activation.name!r} has a derivative that is NaN or infinite at {points[~finite][0]:g}, by "
            "which nothing can be trained; correct its function, of which JAX derives both sides of a jnp.where."
        )
    for (side, claim), found in zip(claims.items(), values.reshape(2, len(_NEAR)), strict=True):
        leading = (found - activation.value) / (side * np.array(_NEAR)) ** p
        # Near enough at two neighbors: how soon the leading term leads differs, and what rounding leaves of it.
        right = np.isclose(leading, claim, rtol=0.02, atol=1e-6)
        if (right[1:] & right[:-1]).any():
            continue
        settled = np.flatnonzero(np.isclose(leading[1:], leading[:-1], rtol=0.02, atol=1e-6))
        instead = (
            f"there its coefficient is {leading[settled[-1] + 1]:.4g}; correct what it says"
            if settled.size
            else f"there its coefficient goes from {leading[0]:.4g} at a distance of {_NEAR[0]:g} to {leading[-1]:.4g} "
            f"at {_NEAR[-1]:g}, so that it has no such term; {_say_instead(activation)}"
        )
        raise ArchitectureError(
            f"Activation {activation.name!r} says that it is {activation.value:g} + {claim:g} z^{p} near zero for "
            f"z {'>' if side > 0 else '<'} 0, but {instead}."
        )
    if activation.right == activation.left == 0:
        raise ArchitectureError(
            f"Activation {activation.name!r} says that its leading term is zero on both sides, by which nothing can "
            "grow; say that of the lowest power that is not."
        )
    if math.isfinite(activation.lipschitz):
        slopes = np.nan_to_num(np.abs(_slopes(activation.function, _STEEP)), nan=0.0)
        if slopes.max() > (1 + 1e-6) * activation.lipschitz:
            raise ArchitectureError(
                f"Activation {activation.name!r} says that its slope is at most {activation.lipschitz:g} in size "
                f"(lipschitz), but it is {slopes.max():.4g} at {_STEEP[slopes.argmax()]:g}; correct the bound, or "
                "leave it out where none is known."
            )
    holds = {"odd": np.allclose(mirrored, -near), "even": np.allclose(mirrored, near), "none": True}
    if not holds.get(activation.parity, False):
        raise ArchitectureError(
            f"Activation {activation.name!r} says that its parity is {activation.parity!r}, but it is not; the "
            "choices are odd, even and none."
        )


_NEAR, _FAR = (1e-2, 1e-3, 1e-4, 1e-5), (0.3, 1.0, 2.0)
_STEEP = np.linspace(-20.0, 20.0, 801)
"""Where slopes are held against the bound that an activation states."""


def _say_instead(activation: Activation) -> str:
    """What an activation is to say of itself near zero, where that can be read off it."""
    points = np.array([0.0, *(side * z for side in (1.0, -1.0) for z in _NEAR[:2])])
    at_zero, *sides = np.asarray(activation(points)).tolist()  # type: ignore[arg-type]
    away = np.array(sides).reshape(2, 2) - at_zero
    moves = away[:, 1] != 0
    with np.errstate(all="ignore"):
        powers = np.log(away[moves, 0] / away[moves, 1]) / np.log(_NEAR[0] / _NEAR[1])
    p = round(powers[0]) if np.isfinite(powers).all() and moves.any() else 0
    if p < 1 or not np.allclose(powers, p, atol=0.05):
        return (
            "what it is there is not one power of z, and condensation is of those; choose a function with a leading "
            "power at zero"
        )
    right, left = away[:, 1] / (np.array([1.0, -1.0]) * _NEAR[1]) ** p
    return f"let it say value={at_zero!r}, multiplicity={p}, right={right:.4g} and left={left:.4g}"


def _values_at(activation: Activation, z: list[float]) -> Float[np.ndarray, " n"]:
    points: Any = np.array(z)
    given = activation(points)
    values = np.asarray(given)
    if values.shape != (len(z),):
        raise ValueError(f"it gives an array of shape {values.shape} for one of shape ({len(z)},)")
    if values.dtype != np.float64:
        raise ValueError(f"it gives {values.dtype} for float64")
    # As training computes it: compiled, and on matrices.
    traced = _in_a_matrix(activation.function, points)
    alone = np.concatenate([np.asarray(activation(point[None])) for point in points])
    if not np.allclose(alone, values, atol=1e-9) or not np.allclose(traced, values, atol=1e-9):
        raise ValueError("it gives other numbers for an array than for each of its numbers alone")
    return values


@in_float64
def _slopes(
    function: Callable[[Float[Array, "..."]], Float[Array, "..."]], points: Float[np.ndarray, " n"]
) -> Float[Array, " n"]:
    return jax.grad(lambda at: jnp.sum(function(at)))(jnp.asarray(points))


@in_float64
def _in_a_matrix(
    function: Callable[[Float[Array, "..."]], Float[Array, "..."]], points: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    # JAX cannot compile a ufunc of NumPy that is handed to it bare.
    return np.asarray(jax.jit(lambda z: function(z))(points[:, None]))[:, 0]


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


_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
"""Of Klambauer et al. 2017, arXiv 1706.02515, as `jax.nn.selu` has them."""


def _node(kind: str, **attributes: float) -> Callable[[Any, str], str]:
    """The ONNX form of one node."""
    return lambda graph, z: graph.add(kind, z, **attributes)


def _times_z(kind: str) -> Callable[[Any, str], str]:
    return lambda graph, z: graph.add("Mul", z, graph.add(kind, z))


def _gelu_nodes(graph: Any, z: str) -> str:
    error = graph.add("Erf", graph.add("Mul", z, graph.number(0.5**0.5)))
    return str(graph.add("Mul", graph.add("Mul", z, graph.number(0.5)), graph.add("Add", error, graph.number(1.0))))


def _half_tanh_nodes(graph: Any, z: str) -> str:
    return str(graph.add("Mul", graph.add("Tanh", graph.add("Mul", z, graph.number(0.5))), graph.number(0.5)))


def _softplus_shifted_nodes(graph: Any, z: str) -> str:
    return str(graph.add("Sub", graph.add("Softplus", z), graph.number(math.log(2.0))))


_BUILT_IN = {
    activation.name: activation
    for activation in (
        Activation("linear", _linear, 1, 1.0, 1.0, parity="odd", lipschitz=1.0, onnx=lambda graph, z: z),
        Activation("tanh", jnp.tanh, 1, 1.0, 1.0, parity="odd", lipschitz=1.0, onnx=_node("Tanh")),
        Activation("relu", jax.nn.relu, 1, 1.0, 0.0, lipschitz=1.0, onnx=_node("Relu")),
        Activation("leaky_relu", _leaky_relu, 1, 1.0, 0.01, lipschitz=1.0, onnx=_node("LeakyRelu", alpha=0.01)),
        Activation("xtanh", _xtanh, 2, 1.0, 1.0, parity="even", lipschitz=1.1996786403, onnx=_times_z("Tanh")),
        Activation(
            "sigmoid_shifted", _sigmoid_shifted, 1, 0.25, 0.25, parity="odd", lipschitz=0.25, onnx=_half_tanh_nodes
        ),
        Activation("sigmoid", jax.nn.sigmoid, 1, 0.25, 0.25, 0.5, lipschitz=0.25, onnx=_node("Sigmoid")),
        Activation("softplus", jax.nn.softplus, 1, 0.5, 0.5, math.log(2.0), lipschitz=1.0, onnx=_node("Softplus")),
        Activation("elu", jax.nn.elu, 1, 1.0, 1.0, lipschitz=1.0, onnx=_node("Elu")),
        Activation(
            "selu",
            jax.nn.selu,
            1,
            _SELU_SCALE,
            _SELU_SCALE * _SELU_ALPHA,
            lipschitz=_SELU_SCALE * _SELU_ALPHA,
            onnx=_node("Selu", alpha=_SELU_ALPHA, gamma=_SELU_SCALE),
        ),
        Activation("softplus_shifted", _softplus_shifted, 1, 0.5, 0.5, lipschitz=1.0, onnx=_softplus_shifted_nodes),
        Activation("gelu", _gelu, 1, 0.5, 0.5, lipschitz=1.1289041452, onnx=_gelu_nodes),
        Activation("silu", jax.nn.silu, 1, 0.5, 0.5, lipschitz=1.0998393202, onnx=_times_z("Sigmoid")),
    )
}
_REGISTERED: dict[str, Activation] = {}


def register_activation(activation: Activation) -> Activation:
    """Make an activation of one's own known by its name, so that networks with it can be loaded and swept by name.

    Registered again by the same definition, as a notebook cell that is run again does, the new one takes its place.

    Parameters
    ----------
    activation : Activation

    Returns
    -------
    Activation
        The same.

    Raises
    ------
    ArchitectureError
        If the name is one of the package's own, or belongs to an activation that was defined elsewhere; or as
        `Activation.check`.

    Examples
    --------
    >>> cubic = register_activation(Activation("z^2 tanh z", lambda z: z**2 * jnp.tanh(z), 3, 1.0, 1.0, parity="odd"))
    >>> get_activation("z^2 tanh z") is cubic
    True
    """
    if not isinstance(activation, Activation):
        raise ArchitectureError(f"{activation!r:.60} is no activation; make one first, by nucleate.Activation.")
    activation.check()
    known = _BUILT_IN.get(activation.name) or _REGISTERED.get(activation.name)
    if known is not None and known != activation and _origin(known) != _origin(activation):
        raise ArchitectureError(f"An activation named {activation.name!r} is already registered; choose another name.")
    if activation.name not in _BUILT_IN:
        _REGISTERED[activation.name] = activation
    return activation


def _origin(activation: Activation) -> tuple[str | None, str | None]:
    """Where an activation's function was defined: a cell that is run again defines it in the same place."""
    return tuple(getattr(activation.function, name, None) for name in ("__module__", "__qualname__"))  # type: ignore[return-value]


def get_activation(name: str) -> Activation:
    """The activation of that name.

    Parameters
    ----------
    name : str
        One of `activation_names`.

    Returns
    -------
    Activation

    Raises
    ------
    ArchitectureError
        If there is none, with the names there are.
    """
    known = _BUILT_IN | _REGISTERED
    if not isinstance(name, str) or name not in known:
        raise ArchitectureError(
            f"There is no activation {shown(name)}{choose_one(name, known)}, or give a nucleate.Activation."
        )
    return known[name]


def activation_names() -> tuple[str, ...]:
    """The names of all registered activations, the package's own first.

    Returns
    -------
    tuple of str
    """
    return tuple(_BUILT_IN | _REGISTERED)
