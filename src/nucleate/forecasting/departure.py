"""How far the network itself departs from its leading part, measured along the leading part's path.

On the path the network's own gradient has a component along the leading part's, ``s`` times as long, and one across it.
To first order training follows the path at ``s`` times the speed, so its clock is the integral of dt / s; and its loss
is the network's own at the points of the path. What lies across is what this cannot know, and widens the interval.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nucleate.activations import Activation
from nucleate.network import Network
from nucleate.training import engine


class Departure(NamedTuple):
    """At one point of the path, for each run; ``excess`` is the network's loss less its leading part's."""

    excess: Float[np.ndarray, " runs"]
    speed: Float[np.ndarray, " runs"]
    across: Float[np.ndarray, " runs"]


class Rows(NamedTuple):
    """Data as the engine takes them, inputs as columns, and what each row counts for."""

    x: Float[Array, "d n"]
    y: Float[Array, "n c"]
    weights: Float[Array, " n"]


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
        first = jnp.concatenate([weights[0], biases[0][..., None]], axis=-1)
        weights, biases = (first, *weights[1:]), (None, *biases[1:])
    return Network(weights, biases, lead.activation)


def departure(
    program: engine.Program, lead: Activation, networks: Network, own_data: Rows, lead_data: Rows
) -> tuple[Departure, Network]:
    """Of stacked networks with the activation of training, on the data given for it and for the leading part.

    Beside it what the networks' own gradients have more than the leading part's.
    """
    runs, devices = len(networks.weights[0]), jax.device_count()
    # Every device takes as many, the last ones over again where they do not come out even.
    filled = np.minimum(np.arange(-(-runs // devices) * devices), runs - 1)
    spread = jax.tree.map(lambda leaf: np.asarray(leaf)[filled], networks)
    found = jax.device_get(_depart(program, lead, spread, (own_data, lead_data)))
    departed, more = jax.tree.map(lambda leaf: leaf[:runs], found)
    return Departure(*departed), more


@partial(jax.jit, static_argnames=("program", "lead"))
def _depart(
    program: engine.Program, lead: Activation, networks: Network, own_and_lead: tuple[Rows, Rows]
) -> tuple[tuple[Float[Array, " runs"], ...], Network]:
    def loss(network: Network, data: Rows) -> Float[Array, ""]:
        each: Array = jax.vmap(lambda x, y: program.loss(network, x[:, None], y[None]), in_axes=(1, 0))(data.x, data.y)
        return data.weights @ each

    def of_one(data: tuple[Rows, Rows], network: Network) -> tuple[tuple[Float[Array, ""], ...], Network]:
        own_data, lead_data = data
        own_loss, own = jax.value_and_grad(loss)(network, own_data)
        followed = Network(network.weights, network.biases, lead)
        leading_loss, leading = jax.value_and_grad(loss)(followed, lead_data)
        more = jax.tree.map(jnp.subtract, own, Network(leading.weights, leading.biases, own.activation))
        own, leading = (jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)]) for tree in (own, leading))
        speed = own @ leading / (leading @ leading)
        across = jnp.linalg.norm(own - speed * leading) / jnp.linalg.norm(leading)
        return (own_loss - leading_loss, speed, across), more

    departed: tuple[tuple[Float[Array, " runs"], ...], Network]
    departed = engine.for_each_run(of_one, networks, own_and_lead)
    return departed
