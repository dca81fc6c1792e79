"""What is simulated in place of training: the network's leading part, on as little data as tell it all.

For a smooth activation of multiplicity 1 the leading part is a linear network, and a quadratic loss depends on the
data through second moments alone. A QR factorisation of inputs and targets side by side keeps these to the last digit
in d + c rows, however many there were, as in least squares.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from nucleate.architectures.near_zero import leading_part
from nucleate.devices import single_blas_thread
from nucleate.network import Drop, Network
from nucleate.problems import Problem, Split
from nucleate.problems.moments import relative_weights

MOST_ROWS = 1024
"""Where the data cannot be compressed, this many evenly spaced rows stand for them."""
COMPARED_ROWS = 512
"""Where they can, the network is compared with its leading part on at most this many."""
_ON_ONE_THREAD = 2**13
"""Numbers of a matrix that OpenBLAS does not spread over threads."""


class Sample(NamedTuple):
    """Rows that stand for all data, each with its weight; the weights sum to one."""

    rows: Int[np.ndarray, " rows"]
    weights: Float[np.ndarray, " rows"]


class Leading(NamedTuple):
    """The leading parts of networks of one architecture, and the data they are stepped on; rows of ``x`` are samples.

    ``stepped`` are those that its steps are taken on, ``watched`` those that its loss is read of: in mini-batches the
    former are the training rows as they are, so that its batches are those of training. ``own`` and ``lead`` are the
    rows of the whole data on which the network itself and its leading part are compared.
    """

    networks: tuple[Network, ...]
    stepped: Split
    watched: Split
    own: Sample
    lead: Sample

    def inputs(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """What these networks take for the rows of ``x``: a column of ones where the first bias is in the weights."""
        return x if self.networks[0].widths[0] == x.shape[1] else np.column_stack([x, np.ones(len(x))])


@partial(jax.tree_util.register_dataclass, data_fields=["weights", "biases"], meta_fields=["activation"])
@dataclass(frozen=True)
class LinearNetwork(Network):
    """A network of linear activation, multiplied out from its outputs: a step costs the same for one row and many."""

    def on_columns(self, x: Float[Array, "d n"], drop: Drop | None = None) -> Float[Array, "c n"]:
        """The outputs for the columns of ``x``; there is nothing to drop, for no layer's signal is made."""
        assert drop is None
        product: Any = self.weights[-1]
        constant: Any = 0.0 if self.biases[-1] is None else self.biases[-1]
        # Which is its slope: an activation may have a value at zero besides.
        slope = self.activation.slope
        for weight, bias in zip(self.weights[-2::-1], self.biases[-2::-1], strict=True):
            constant = constant + self.activation.value * product.sum(axis=1)
            product = slope * product
            constant = constant if bias is None else constant + product @ bias
            product = product @ weight
        outputs: Any = product @ x
        return outputs + constant[:, None] if np.ndim(constant) else outputs


def leading(networks: Sequence[Network], problem: Problem, *, batches: bool = False) -> Leading:
    """The leading parts in the runs' own dtype: parameters as they are, the activation replaced by what leads at zero.

    That is its leading part, and its value at zero where that is not zero.

    Where the data are compressed a first-layer bias becomes the last column of the weights and 1 the last input, so
    that every optimizer moves it as it would the bias. With ``batches`` the data that steps are taken on stay as they
    are, and where the leading part is linear it is a `LinearNetwork`.
    """
    own, biases = networks[0].activation, networks[0].biases
    lead = leading_part(own)
    train = problem.train
    x, y, weights = train.x, train.y, train.weights
    kind = LinearNetwork if batches and own.slope else Network
    if problem.loss.is_quadratic and own.slope and not networks[0].fits_constants:
        linear = tuple(kind(_with_bias_column(network), (None,) * network.depth, lead) for network in networks)
        inputs = x if biases[0] is None else np.column_stack([x, np.ones(len(x))])
        few = large_and_small_rows(inputs, y, COMPARED_ROWS, weights)
        compressed = Split(*compress(inputs, y, weights))
        return Leading(linear, replace(train, x=inputs) if batches else compressed, compressed, few, few)
    rows = spaced_rows(len(x))
    same = tuple(kind(network.weights, network.biases, lead) for network in networks)
    some = train.only(rows)
    # All rows for the network itself, so that what the others miss shows in the comparison.
    return Leading(same, train if batches else some, some, each_of(np.arange(len(x)), weights), each_of(rows, weights))


def _with_bias_column(network: Network) -> tuple[Float[Array | np.ndarray, "fan_out fan_in"], ...]:
    first, *others = network.weights
    bias = network.biases[0]
    return (first if bias is None else np.column_stack([first, bias]), *others)


def spaced_rows(n: int) -> Int[np.ndarray, " rows"]:
    """Evenly spaced rows, all where there are no more than `MOST_ROWS`."""
    return np.linspace(0, n - 1, min(n, MOST_ROWS)).astype(np.int64)


def large_and_small_rows(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "n c"],
    most: int,
    weights: Float[np.ndarray, " n"] | None = None,
) -> Sample:
    """Rows that stand for the moments: each is as likely as its share in the rows, in ``|x|^2`` and in ``|y|^2``.

    Rows may have weights, which the moments have too.

    A row is weighted by the inverse of that, so rare large rows, which saturate first, are looked at and count as what
    they are. All rows where there are no more than ``most``; nothing is random.

    Examples
    --------
    >>> x = np.append(np.ones(9999), 1000.0)[:, None]
    >>> sample = large_and_small_rows(x, x, 100)
    >>> bool(9999 in sample.rows), round(float(sample.weights @ x[sample.rows, 0] ** 2 / np.mean(x**2)), 2)
    (True, 1.0)
    """
    n = len(x)
    if n <= most:
        return each_of(np.arange(n), weights)
    count_for = np.ones(n) if weights is None else weights / weights.max()
    sizes = [count_for, *(count_for * np.sum(part**2, axis=1) for part in (x, y))]
    likely = np.mean([size / size.sum() for size in sizes if size.any()], axis=0)
    order = np.argsort(likely, kind="stable")
    reached = np.cumsum(likely[order])
    ticks = (np.arange(most) + 0.5) / most * reached[-1]
    rows, times = np.unique(order[np.searchsorted(reached, ticks)], return_counts=True)
    shares = count_for[rows] * times / likely[rows]
    return Sample(rows, shares / shares.sum())


def each_of(rows: Int[np.ndarray, " rows"], weights: Float[np.ndarray, " n"] | None) -> Sample:
    """Each of some rows as it weighs."""
    if weights is None:
        return Sample(rows, np.full(len(rows), 1 / len(rows)))
    return Sample(rows, relative_weights(weights[rows]) / len(rows))


def compress(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n c"], weights: Float[np.ndarray, " n"] | None = None
) -> tuple[Float[np.ndarray, "rows d"], Float[np.ndarray, "rows c"]]:
    """At most ``d + c`` rows on which every linear function has the mean squared error that it has on all.

    Where all rows have weights it is their weighted mean; the few have none.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y, p = rng.standard_normal((1000, 3)), rng.standard_normal((1000, 1)), rng.standard_normal((3, 1))
    >>> small_x, small_y = compress(x, y)
    >>> small_x.shape, bool(np.isclose(np.mean((x @ p - y) ** 2), np.mean((small_x @ p - small_y) ** 2)))
    ((4, 3), True)
    """
    both = np.column_stack([x, y])
    if weights is not None:
        both *= np.sqrt(relative_weights(weights))[:, None]
    # So few numbers are on one thread anyway, and the limit has to load the whole of SciPy's algebra.
    with nullcontext() if both.size <= _ON_ONE_THREAD else single_blas_thread():
        triangle = np.linalg.qr(both, mode="r")
    triangle *= (len(triangle) / len(x)) ** 0.5
    return triangle[:, : x.shape[1]], triangle[:, x.shape[1] :]
