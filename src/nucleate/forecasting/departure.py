"""How far the network itself departs from its leading part, measured along the leading part's path.

On the path the network's own gradient has a component along the leading part's, ``s`` times as long, and one across it.
To first order training follows the path at ``s`` times the speed, so its clock is the integral of dt / s; and its loss
is the network's own at the points of the path. What lies across is what this cannot know, and widens the interval.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nucleate.devices import for_each
from nucleate.forecasting.leading import Sample
from nucleate.models import outputs_of_columns, take_apart
from nucleate.network import Network
from nucleate.problems import Split
from nucleate.training import engine


class Departure(NamedTuple):
    """At one point of the path; ``excess`` is the network's loss less its leading part's.

    ``more`` is what the network's own gradient has more than the leading part's.
    """

    excess: Float[Array | np.ndarray, ""]
    speed: Float[Array | np.ndarray, ""]
    across: Float[Array | np.ndarray, ""]
    more: Any


class WeightedRows(NamedTuple):
    """Data as the engine takes them, inputs as columns, and what each row counts for."""

    x: Float[np.ndarray, "d n"]
    y: Float[np.ndarray, "n c"]
    weights: Float[np.ndarray, " n"]

    @classmethod
    def of(cls, part: Split, sample: Sample) -> "WeightedRows":
        """Those of a sample."""
        return cls(np.ascontiguousarray(part.x[sample.rows].T), part.y[sample.rows], sample.weights)


def restore(lead: Network, own: Network) -> Network:
    """A leading network in the form of the network it stands for: its activation, and its first-layer bias apart."""
    biases = lead.biases
    first, *others = lead.weights
    if own.biases[0] is not None and biases[0] is None:
        biases = (first[..., -1], *biases[1:])
        first = first[..., :-1]
    return Network((first, *others), biases, own.activation)


def unrestore(own: Network, lead: Network) -> Network:
    """A network, or a gradient of it, in the form of the leading network that stands for it."""
    weights, biases = own.weights, own.biases
    if biases[0] is not None and lead.biases[0] is None:
        first = np.concatenate([weights[0], np.asarray(biases[0])[..., None]], axis=-1)
        weights, biases = (first, *weights[1:]), (None, *biases[1:])
    return replace(lead, weights=weights, biases=biases)


def departures(
    own: engine.Program,
    lead: engine.Program,
    networks: Sequence[Network],
    own_rows: WeightedRows,
    lead_rows: WeightedRows,
    weight_decays: Sequence[float] | None = None,
) -> Sequence[Departure]:
    """How each network departs from its leading part, each on the rows given for it.

    The program ``lead`` is that of the leading part in the same form. The networks have the activation of training, and
    the dtype that is computed in, which the rows have too.
    """
    decays = [None] * len(networks) if weight_decays is None else list(map(np.float64, weight_decays))
    items = [(take_apart(network)[0], decay) for network, decay in zip(networks, decays, strict=True)]
    return for_each(_depart, items, own, lead, own_rows, lead_rows)


def mean_cost(parameters: Any, program: engine.Program, rows: WeightedRows) -> Float[Array, ""]:
    """The loss of a program's model on rows."""
    x, y, weights = map(jnp.asarray, rows)
    return weights @ program.loss.rows(outputs_of_columns(program.frame(parameters), x).T, y)


@partial(jax.jit, static_argnames=("own", "lead"))
def _depart(
    item: tuple[Any, Float[Array, ""] | None],
    own: engine.Program,
    lead: engine.Program,
    own_rows: WeightedRows,
    lead_rows: WeightedRows,
) -> Departure:
    parameters, decay = item

    own_loss, own_gradient = jax.value_and_grad(mean_cost)(parameters, own, own_rows)
    leading_loss, leading_gradient = jax.value_and_grad(mean_cost)(parameters, lead, lead_rows)
    more = jax.tree.map(jnp.subtract, own_gradient, leading_gradient)
    # What is followed is not the gradient alone where it is clipped, or where weights decay.
    full, leading = (
        jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(own.rule.pull(gradient, parameters, decay))])
        for gradient in (own_gradient, leading_gradient)
    )
    speed = full @ leading / (leading @ leading)
    across = jnp.linalg.norm(full - speed * leading) / jnp.linalg.norm(leading)
    return Departure(own_loss - leading_loss, speed, across, more)
