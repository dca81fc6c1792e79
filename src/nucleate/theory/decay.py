"""When weight decay exceeds the growth from a small start, so that the plateau never ends.

With a decay ``lambda`` the flow of `nucleate.theory.correlation` becomes ``theta' = grad C(theta) - lambda theta``. Of
the layer ``W_l``, in whose entries ``C`` has the degree ``p^(L-l)``, Euler's theorem gives

    (|W_l|^2 / 2)' = p^(L-l) C(theta) - lambda |W_l|^2,    C(theta) <= kappa prod_l |W_l|^(p^(L-l)),

so the largest norm ``N`` falls, and falls ever faster against the growth, once ``p^(L-1) kappa N^(D-2) < lambda``,
where ``D`` is the degree of ``C``. Of two layers with a slope at zero the start has no part in it: they grow if and
only if the first singular value of the targets' moment exceeds the decay. Derived here, in docs/theory.md.
"""

import numpy as np
from jaxtyping import ArrayLike, Float

from nucleate.network import Network
from nucleate.theory.correlation import _checked, degree, first_inputs, moment_form, weights_with_bias


def shrinks_for_ever(network: Network, x: ArrayLike, residuals: ArrayLike, weight_decay: float) -> bool:
    """Whether, to leading order, the parameters shrink to zero from here on, however long they are trained.

    It is sufficient, not necessary: where it is not so, they may shrink for ever all the same.

    Parameters
    ----------
    network : Network
        With biases beyond the first layer nothing is known, and it is False.
    x : array of shape (n, d)
    residuals : array of shape (n, c)
        At outputs of zero.
    weight_decay : float

    Returns
    -------
    bool

    Raises
    ------
    ArchitectureError
        For shapes that do not fit, or an activation that is not zero at zero.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(2, [4], 1, scale=InitScale("gain", 0.1))
    >>> [shrinks_for_ever(network, [[1.0, 0.0]], [[0.5]], decay) for decay in (0.4, 0.6)]
    [False, True]
    """
    if any(bias is not None for bias in network.biases[1:]):
        return False
    inputs, outputs = _checked(network, x, residuals)
    p, depth = network.activation.multiplicity, network.depth
    largest = max(float(np.linalg.norm(layer)) for layer in weights_with_bias(network))
    return p ** (depth - 1) * _kappa(network, inputs, outputs) * largest ** (degree(network) - 2) < weight_decay


def _kappa(network: Network, x: Float[np.ndarray, "n d"], residuals: Float[np.ndarray, "n c"]) -> float:
    """So much ``C`` is at most, of layers of norm one."""
    if network.activation.slope:
        return float(np.linalg.svd(moment_form(network, x, residuals)[1], compute_uv=False)[0])
    p, depth = network.activation.multiplicity, network.depth
    steepest = max(abs(network.activation.right), abs(network.activation.left))
    sizes = np.linalg.norm(first_inputs(network, x), axis=1) ** (p ** (depth - 1))
    through = steepest ** sum(p**layer for layer in range(depth - 1))
    return float(through * np.mean(np.linalg.norm(residuals, axis=1) * sizes))
