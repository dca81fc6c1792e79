"""Networks and problems small enough to see through, and a loss that the package does not have."""

import jax.numpy as jnp
import numpy as np

from nucleate import InitScale, Network, Problem
from nucleate.problems import Link, Loss, Metric


def deviance(outputs, y):
    """Of Poisson counts, halved: zero where the rate is the count."""
    return jnp.sum(jnp.exp(outputs) - y - y * (outputs - jnp.log(jnp.where(y > 0, y, 1.0))), axis=1)


def mean_absolute_error(predicted, true):
    return float(np.abs(predicted - true).mean())


LOG = Link("log", jnp.exp, standardized=False, onnx=lambda graph, z: graph.add("Exp", z))
POISSON = Loss("poisson", deviance, LOG, Metric("mean error", mean_absolute_error))


def counts(rng, rate, rows=300):
    """Poisson counts whose rate is this function of three normal inputs."""
    x = rng.standard_normal((rows, 3))
    return Problem.from_arrays(x, rng.poisson(rate(x)).astype(float), loss=POISSON)


def drawn(widths, *, activation="tanh", seed=0, gain=1.0, bias=True, dtype="float64"):
    inputs, *hidden, outputs = widths
    return Network.create(
        inputs,
        hidden,
        outputs,
        scale=InitScale("gain", gain),
        activation=activation,
        bias=bias,
        seed=seed,
        dtype=dtype,
    )


def with_copies(network, copies, rng, *, resize):
    """The same function with every hidden neuron split into ``copies`` that share its outgoing weights.

    With ``resize`` the copies' input weights have other norms, which a homogeneous activation lets their outgoing
    weights undo.
    """
    weights, biases = [np.asarray(w) for w in network.weights], [np.asarray(b) for b in network.biases]
    for layer in range(network.depth - 1):
        m = len(weights[layer])
        sizes = np.exp(rng.uniform(-1, 1, m * copies)) if resize else np.ones(m * copies)
        shares = rng.dirichlet(np.ones(copies), m).ravel()
        source = np.repeat(np.arange(m), copies)
        weights[layer] = sizes[:, None] * weights[layer][source]
        biases[layer] = sizes * biases[layer][source]
        weights[layer + 1] = weights[layer + 1][:, source] * shares / sizes
    return Network(tuple(weights), tuple(biases), network.activation)


def regression(rng, network, rows=100, noise=0.1):
    """A problem that the network has learned, up to noise; inputs and target are left as they are."""
    x = rng.standard_normal((rows, network.widths[0]))
    y = np.asarray(network(x)) + noise * rng.standard_normal((rows, network.widths[-1]))
    return Problem.from_arrays(x, y, task="regression", standardize=False)
