"""Whether the neurons have turned the way that theory says."""

import numpy as np
from jaxtyping import Float

from nucleate.errors import NetworkError
from nucleate.observe._norms import unit_rows


def alignment(vectors: Float[np.ndarray, "m k"], target: Float[np.ndarray, " k"]) -> Float[np.ndarray, " m"]:
    """The cosine, with its sign, between each neuron and a given direction; 0 for a dead neuron.

    For a squared error and an activation with slope 1 at zero, the target of the first layer is the mean of
    ``y_i x_i`` (Chen and Luo 2024, arXiv 2402.15958), with 1 appended to ``x_i`` where the layer has a bias.

    Raises
    ------
    NetworkError
        If the target has not as many entries as a neuron.

    Examples
    --------
    >>> alignment(np.array([[3.0, 4.0], [0.0, -2.0], [0.0, 0.0]]), np.array([0.0, 1e-3]))
    array([ 0.8, -1. ,  0. ])
    """
    inputs = np.shape(vectors)[1]
    if np.shape(target) != (inputs,):
        raise NetworkError(
            f"The target direction has shape {np.shape(target)} for neurons with {inputs} entries, "
            f"the bias included; give {inputs} numbers."
        )
    cosine: np.ndarray = unit_rows(vectors) @ unit_rows(np.asarray(target)[None])[0]
    return cosine
