"""The general form: initial condensation is gradient ascent on one scalar, whatever the depth, activation and loss.

To leading order at small parameters the loss falls along

    C(theta) = (1/n) sum_i <r_i, f_lead(x_i; theta)>,

``r_i`` the residual that the loss sees at ``f = 0`` (``y_i`` for squared error, label minus uniform for cross-entropy)
and ``f_lead`` the lowest-degree part of the model that depends on ``x``. ``C`` is positively homogeneous, of the
degree that `degree` gives, so the flow of `nucleate.theory.flow` and its blow-up time hold for it. Derived here, in
docs/theory.md; three layers and one output are due to Chen and Luo, arXiv 2402.15958.
"""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import ArrayLike, Float

from nucleate import devices
from nucleate.errors import ArchitectureError
from nucleate.network import Network
from nucleate.theory import checks
from nucleate.theory.effective import AnyArray
from nucleate.theory.scaling import NearZero, near_zero

if TYPE_CHECKING:
    from nucleate.theory.blowup import BlowupTime


@devices.in_float64
def leading_part(model: Any, x: Float[AnyArray, "n d"]) -> Float[AnyArray, "n c"]:
    """``f_lead``: for a network the activation's leading part ``c z^p`` in place of the activation.

    A bias beyond the first layer is of lower degree than what ``W h`` adds to it, so that layer is linearized around
    its bias, and what does not depend on ``x`` is left out (derived here, docs/theory.md). Of any other model the
    leading part is read off as the parameters are scaled, see `near_zero`.

    Parameters
    ----------
    model : Network, NearZero or any other model
        The parameters of the first two may be traced by JAX.
    x : array of shape (n, d)

    Returns
    -------
    array of float64, shape (n, c)

    Raises
    ------
    ArchitectureError
        As `near_zero`.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(2, [3, 3], 1, scale=InitScale("epsilon", 1e-3), dtype="float64")
    >>> x = np.ones((1, 2))
    >>> bool(abs(leading_part(network, x) / network(x) - 1).max() < 1e-4)
    True
    """
    if not isinstance(model, Network):
        near = model if isinstance(model, NearZero) else near_zero(model, np.asarray(x))
        return near.leading(jnp.asarray(x, float))
    network = model
    lead = network.activation.leading
    varying: Any
    (W1, *weights), (b1, *biases) = network.weights, network.biases
    columns = jnp.asarray(x, float).T
    varying = W1 @ columns if b1 is None else W1 @ columns + b1[:, None]
    constant = None
    for weight, bias in zip(weights, biases, strict=True):
        if constant is None:
            varying = weight @ lead(varying)
        else:
            around = jnp.broadcast_to(constant, varying.shape).astype(varying.dtype)
            constant, varying = (weight @ part for part in jax.jvp(lead, (around,), (varying,)))
        if bias is not None:
            constant = bias[:, None]
    return varying.T


def degree(model: Any, x: ArrayLike | None = None) -> int:
    """The degree of `leading_part` in the parameters (derived here, docs/theory.md).

    Without biases beyond the first layer it is the depth for ``p = 1``, and ``1 + p + p^2`` for three layers.

    Parameters
    ----------
    model : Network, NearZero or any other model
    x : array of shape (n, d), optional
        Rows, which models need that are neither of the first two.

    Returns
    -------
    int

    Raises
    ------
    ArchitectureError
        As `near_zero`, or where rows are needed.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> scale = InitScale("epsilon", 1e-3)
    >>> [degree(Network.create(2, [3] * hidden, 1, scale=scale, activation="xtanh")) for hidden in (1, 2, 3)]
    [3, 7, 15]
    """
    if not isinstance(model, Network):
        if not isinstance(model, NearZero) and x is None:
            raise ArchitectureError(f"The degree of a {type(model).__name__} is read off its outputs; give rows of x.")
        return (model if isinstance(model, NearZero) else near_zero(model, x)).degree  # type: ignore[arg-type]
    network = model
    p = network.activation.multiplicity
    varying, constant = 1, None
    for bias in network.biases[1:]:
        varying = 1 + (p * varying if constant is None else (p - 1) * constant + varying)
        constant = None if constant is None else 1 + p * constant
        constant = constant if bias is None else 1
    return varying


@devices.in_float64
def correlation(model: Any, x: Float[AnyArray, "n d"], residuals: Float[AnyArray, "n c"]) -> Float[AnyArray, ""]:
    """``C(theta)``, to be differentiated by ``theta`` (derived here, docs/theory.md).

    Parameters
    ----------
    model : Network, NearZero or any other model
        ``theta``; the parameters of the first two may be traced by JAX.
    x : array of shape (n, d)
    residuals : array of shape (n, c)

    Returns
    -------
    scalar of float64
    """
    return jnp.sum(residuals * leading_part(model, x)) / len(x)


@devices.in_float64
def correlation_potential(model: Any, x: ArrayLike, residuals: ArrayLike) -> tuple[Any, Any, int]:
    """``C``, the model's parameters and the degree: what `potential_blowup_time` takes (here, docs/theory.md).

    Parameters
    ----------
    model : Network or any other model
    x : array of shape (n, d)
    residuals : array of shape (n, c)
        Minus the derivative of each row's loss by the outputs, at outputs of zero.

    Returns
    -------
    potential : callable
        `correlation` as a function of what follows.
    start : Network or NearZero
        The network, or any other model near zero, in float64.
    degree : int

    Raises
    ------
    ArchitectureError
        As `near_zero`; for shapes that do not fit, NaN or infinity; for an activation with ``s(0) != 0``; for a bias
        beyond the first layer and residuals whose mean is not zero, because such a network fits the mean first, as fast
        as its biases move; and for another model with constants of a lower degree than D, which it fits before.
    """
    if not isinstance(model, Network):
        return _potential_of_any(model, x, residuals)
    network = model
    inputs, outputs = _checked(network, x, residuals)
    _refuse_constants(network)
    return Partial(correlation, x=inputs, residuals=outputs), network.astype("float64"), degree(network)


def _potential_of_any(model: Any, x: ArrayLike, residuals: ArrayLike) -> tuple[Any, NearZero, int]:
    near = model if isinstance(model, NearZero) else near_zero(model, x)
    inputs, outputs = checks.finite("The input", x, rank=2), checks.finite("The residuals", residuals, rank=2)
    expected = np.shape(near.leading(jnp.asarray(inputs)))
    if outputs.shape != expected:
        raise ArchitectureError(f"Residuals {outputs.shape} given for outputs of shape {expected}; give one for each.")
    if near.lowest < near.degree:
        raise ArchitectureError(
            f"Near zero the model has constants of degree {near.lowest}, below the {near.degree} of what depends on "
            "the inputs, and fits the targets' mean with them before anything condenses, so its flow is not gradient "
            "ascent on one scalar; ask for a forecast, which allows for it."
        )
    return Partial(correlation, x=inputs, residuals=outputs), near, near.degree


def correlation_blowup_time(model: Any, x: ArrayLike, residuals: ArrayLike) -> "BlowupTime":
    """The blow-up time of gradient ascent on ``C``; in the time of training, with nothing rescaled.

    Derived here, docs/theory.md.

    Parameters
    ----------
    model : Network or any other model
    x : array of shape (n, d)
    residuals : array of shape (n, c)

    Returns
    -------
    BlowupTime
        Of scalars.

    Raises
    ------
    ArchitectureError
        As `correlation_potential`.
    """
    # Forecasts take directions from here, and no solver of differential equations.
    from nucleate.theory.blowup import potential_blowup_time

    return potential_blowup_time(*correlation_potential(model, x, residuals))


@devices.in_float64
def moment_form(
    network: Network, x: ArrayLike, residuals: ArrayLike
) -> tuple[tuple[Float[np.ndarray, "fan_out fan_in"], ...], Float[np.ndarray, "c d"]]:
    """Weights and ``M`` such that ``C = <W_L ... W_1, M>``, for smooth activations of multiplicity 1.

    Such a network asks no more of the data than ``M = s'(0)^(L-1) (1/n) sum_i r_i x_i^T``. A bias in
    the first layer is one more column of ``W_1``, for ``x`` with a 1 appended. Derived here, docs/theory.md.

    Parameters
    ----------
    network : Network
    x : array of shape (n, d)
    residuals : array of shape (n, c)

    Returns
    -------
    weights : tuple of arrays of float64, shape (m_1, d), (m_2, m_1), ..., (c, m_{L-1})
    moment : array of float64, shape (c, d)

    Raises
    ------
    ArchitectureError
        As `correlation_potential`, and for an activation without a slope at zero.
    """
    M = moment(network, x, residuals)
    _refuse_constants(network)
    return weights_with_bias(network), M


def weights_with_bias(network: Network) -> tuple[Float[np.ndarray, "fan_out fan_in"], ...]:
    """The weights in float64, a bias in the first layer as one more column of the first."""
    first, *weights = (np.asarray(weight, np.float64) for weight in network.weights)
    if network.biases[0] is not None:
        first = np.column_stack([first, network.biases[0]])
    return (first, *weights)


def moment(network: Network, x: ArrayLike, residuals: ArrayLike) -> Float[np.ndarray, "c d"]:
    """``M`` of `moment_form`.

    It also holds for an activation with ``s(0) != 0``, whose constants are to a layer what its biases are, and for the
    directions of the first layer that is all that is asked. The weights do not follow `moment_form` then: the outgoing
    ones of a layer add up to what the mean of the targets asks of them (here, docs/theory.md).
    """
    inputs, outputs = _checked(network, x, residuals)
    slope = network.activation.slope
    if not slope:
        raise ArchitectureError(
            f"{network.activation.name} has no slope at zero, so its flow is not that of a linear network."
        )
    return slope ** (network.depth - 1) * outputs.T @ first_inputs(network, inputs) / len(inputs)


def first_inputs(network: Network, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d+1"]:
    """What the first layer's parameters multiply: ``x``, with a 1 appended where the layer has a bias."""
    return x if network.biases[0] is None else np.column_stack([x, np.ones(len(x))])


def _checked(
    network: Network, x: ArrayLike, residuals: ArrayLike
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n c"]]:
    inputs = checks.finite("The input", x, rank=2)
    outputs = checks.finite("The residuals", residuals, rank=2)
    d, *_, c = network.widths
    if inputs.shape[1] != d or outputs.shape != (len(inputs), c) or not len(inputs):
        raise ArchitectureError(
            f"Inputs {inputs.shape} and residuals {outputs.shape} given; expected (n, {d}) and (n, {c})."
        )
    offset = np.abs(outputs.mean(axis=0)).max()
    if network.fits_constants and offset > 1e-6 * np.abs(outputs).max():
        what = (
            "a bias beyond its first layer"
            if network.activation.value == 0
            else f"an activation that is {network.activation.value:g} at zero"
        )
        raise ArchitectureError(
            f"The residuals have mean {offset:.3g} and the network has {what}, which fits the "
            "mean before anything condenses; subtract the mean."
        )
    return inputs, outputs


def _refuse_constants(network: Network) -> None:
    if network.activation.value != 0:
        raise ArchitectureError(
            f"{network.activation.name} is {network.activation.value:g} at zero, so its flow is not gradient ascent on "
            "one scalar; subtract that from it, or ask for a forecast, which allows for it where it has a slope."
        )
