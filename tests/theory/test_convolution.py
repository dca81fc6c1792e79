"""Convolutions from a small start, held against autodiff and gradient descent of convolutions by lax."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nucleate import ArchitectureError, SpecError, devices
from nucleate.theory import Convolution, kernel_directions, patch_moment, two_layer_solution

LAYERS = {
    "same": Convolution(3),
    "valid, stride 2": Convolution(2, stride=2, padding="valid"),
    "circular, pooled": Convolution(3, padding="circular", pool=2),
    "two zeros": Convolution(4, padding=2),
}


def convolve(x, kernels, layer, activation):
    """The real thing, written independently of what is tested; kernels are (m, k, ..., channels)."""
    axes, k = x.ndim - 2, layer.kernel
    edges = {"valid": (0, 0)}.get(layer.padding, ((k - 1) // 2, k // 2))
    edges = (layer.padding,) * 2 if isinstance(layer.padding, int) else edges
    if layer.padding == "circular":
        x, edges = jnp.pad(x, [(0, 0), *[edges] * axes, (0, 0)], mode="wrap"), (0, 0)
    names = ("NHWC", "OHWI", "NHWC") if axes == 2 else ("NHC", "OHI", "NHC")
    z = jax.lax.conv_general_dilated(x, kernels, (layer.stride,) * axes, [edges] * axes, dimension_numbers=names)
    windows = (1, *[layer.pool] * axes, 1)
    return jax.lax.reduce_window(activation(z), 0.0, jax.lax.add, windows, windows, "valid") / layer.pool**axes


def outputs(p, x, layers, readout, activation=jnp.tanh):
    *kernels, head = p
    for kernel, layer in zip(kernels, layers, strict=True):
        x = convolve(x, kernel, layer, activation)
    features = x.reshape(len(x), -1) if readout == "flatten" else x.mean(axis=tuple(range(1, x.ndim - 1)))
    return features @ head.T


def loss(p, x, y, layers, readout):
    return jnp.sum((outputs(p, x, layers, readout) - y) ** 2) / 2 / len(x)


gradient = jax.jit(jax.grad(loss), static_argnames=("layers", "readout"))


def data(shape, c=2, n=9, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, *shape)), rng.standard_normal((n, c))


def draw(x, layers, readout, c=2, channels=3, seed=1):
    rng, axes, reads, p = np.random.default_rng(seed), x.ndim - 2, x.shape[-1], []
    for layer in layers:
        p.append(rng.standard_normal((channels, *[layer.kernel] * axes, reads)))
        reads = channels
    signal = x
    for kernel, layer in zip(p, layers, strict=True):
        signal = jax.eval_shape(partial(convolve, layer=layer, activation=jnp.tanh), signal, kernel)
    features = channels if readout == "mean" else int(np.prod(signal.shape[1:]))
    return [*p, rng.standard_normal((c, features))]


@pytest.mark.parametrize(
    ("shape", "layer", "readout"),
    [
        pytest.param(shape, layer, readout, id=f"{len(shape) - 1}-d, {name}, {readout}")
        for name, layer in LAYERS.items()
        for shape, readout in (((7, 2), "flatten"), ((5, 6, 2), "mean"), ((5, 6, 2), "flatten"))
    ],
)
def test_the_gradient_of_one_layer_is_that_of_two_linear_layers_to_second_order(shape, layer, readout):
    x, y = data(shape)
    p, errors = draw(x, [layer], readout), []
    M = patch_moment(x, y, layer, readout=readout)
    for eps in (1e-2, 5e-3):
        with devices.float64():
            K, H = (eps * leaf for leaf in p)
            slope = gradient([K, H], jnp.asarray(x), jnp.asarray(y), (layer,), readout)
            found_K, found_H = map(np.asarray, slope)
        # Heads read position by position, channels last; the moment has a row for each output and position.
        as_rows = H.reshape(-1, len(K))
        expected_K, expected_H = as_rows.T @ M, M @ K.reshape(len(K), -1).T
        errors.append(
            max(
                np.linalg.norm(-found_K.reshape(len(K), -1) - expected_K) / np.linalg.norm(expected_K),
                np.linalg.norm(-found_H.reshape(as_rows.shape) - expected_H) / np.linalg.norm(expected_H),
            )
        )
    assert errors[0] < 0.02
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


def descend(p, x, y, layers, readout, rate, steps, fall=1.0):
    """Gradient descent for so many steps, or until the loss has fallen by a share."""
    with devices.float64():
        x, y = jnp.asarray(x), jnp.asarray(y)

        @jax.jit
        def train(p):
            target = (1 - fall) * loss(p, x, y, layers, readout)

            def step(carry):
                p, k, _ = carry
                now, slope = jax.value_and_grad(loss)(p, x, y, layers, readout)
                return jax.tree.map(lambda w, g: w - rate * g, p, slope), k + 1, now

            return jax.lax.while_loop(lambda c: (c[1] < steps) & (c[2] > target), step, (p, 0, jnp.inf))

        p, taken, _ = train([jnp.asarray(leaf) for leaf in p])
        return [np.asarray(leaf) for leaf in p], int(taken)


@pytest.mark.parametrize("readout", ["mean", "flatten"])
def test_trained_kernels_grow_as_two_layers_do_and_turn_to_the_top_singular_vector(readout):
    layer = LAYERS["same"]
    x, y = data((7, 2), c=1, n=12, seed=4)
    M = patch_moment(x, y, layer, readout=readout)
    _, sigma, right = np.linalg.svd(M)
    p = [1e-5 * leaf for leaf in draw(x, [layer], readout, c=1)]
    time = 6 / sigma[0]
    (K, _), _ = descend(p, x, y, [layer], readout, time / 4000, 4000)
    (expected,), _ = two_layer_solution([p[0].reshape(3, -1), p[1].reshape(-1, 3)], M, [time])
    np.testing.assert_allclose(K.reshape(3, -1), expected, rtol=0, atol=0.02 * np.abs(expected).max())
    if readout == "mean":
        # For one output the moment then has one row. Position by position a second direction may be near.
        cosines = K.reshape(3, -1) @ right[0] / np.linalg.norm(K.reshape(3, -1), axis=1)
        assert np.abs(cosines).min() > 0.99


def chain(x, y, layers, readout, seed=1):
    """C of a state with |state|^2 = D, by autodiff of nothing but the linear convolutions."""
    p = draw(x, layers, readout, seed=seed)
    length = np.sqrt(sum(np.sum(leaf**2) for leaf in p) / len(p))
    with devices.float64():
        found = outputs([leaf / length for leaf in p], jnp.asarray(x), layers, readout, activation=lambda z: z)
    return float(np.sum(y * np.asarray(found)) / len(x))


TWO = [Convolution(3, pool=2), Convolution(2, padding="circular")]


@pytest.mark.parametrize("readout", ["mean", "flatten"])
def test_no_state_of_many_channels_does_more_than_one_channel_at_the_directions(readout):
    x, y = data((8, 2), seed=7)
    found = kernel_directions(x, y, TWO, readout=readout)
    assert max(abs(chain(x, y, TWO, readout, seed)) for seed in range(20)) <= found.value
    # One channel a layer at the directions, and the head that they ask for, attain it.
    first, second = found.directions
    with devices.float64():
        signal = jnp.asarray(x)
        for kernel, layer in zip([first.reshape(1, 3, 2), second.reshape(1, 2, 1)], TWO, strict=True):
            signal = convolve(signal, kernel, layer, lambda z: z)
        signal = np.asarray(signal)
    features = signal.reshape(len(x), -1) if readout == "flatten" else signal.mean(axis=1)
    assert np.linalg.norm(y.T @ features / len(x)) == pytest.approx(found.value, rel=1e-9)


def test_of_one_layer_the_direction_is_the_top_singular_vector_of_the_moment():
    x, y = data((5, 6, 2))
    for readout in ("mean", "flatten"):
        found = kernel_directions(x, y, [Convolution(3)], readout=readout)
        _, sigma, right = np.linalg.svd(patch_moment(x, y, Convolution(3), readout=readout))
        assert found.value == pytest.approx(sigma[0])
        assert abs(found.directions[0] @ right[0]) == pytest.approx(1)


def test_trained_kernels_of_both_layers_turn_to_the_directions():
    x, y = data((8, 2), c=1, n=16, seed=7)
    found = kernel_directions(x, y, TWO)
    p = [2e-3 * leaf for leaf in draw(x, TWO, "mean", c=1)]
    (*kernels, _), steps = descend(p, x, y, TWO, "mean", 0.2 / found.value, 50_000, fall=0.05)
    assert 100 < steps < 50_000
    for kernel, direction in zip(kernels, found.directions, strict=True):
        rows = kernel.reshape(3, -1) if direction.size == 6 else np.moveaxis(kernel, 1, -1).reshape(-1, 2)
        _, sigma, right = np.linalg.svd(rows)
        assert abs(right[0] @ direction) > 0.99
        assert sigma[1] / sigma[0] < 0.2


REFUSED = {
    "a row of inputs": (
        lambda: patch_moment(np.ones((2, 3)), np.ones((2, 1)), Convolution(2)),
        ArchitectureError,
        "(2, 3)",
    ),
    "a kernel too large": (
        lambda: patch_moment(np.ones((2, 3, 1)), np.ones((2, 1)), Convolution(5, padding="valid")),
        ArchitectureError,
        "leaves nothing",
    ),
    "another padding": (
        lambda: patch_moment(np.ones((2, 3, 1)), np.ones((2, 1)), Convolution(2, padding="mirror")),
        SpecError,
        "mirror",
    ),
    "another readout": (
        lambda: kernel_directions(np.ones((2, 3, 1)), np.ones((2, 1)), [Convolution(2)], readout="max"),
        SpecError,
        "max",
    ),
    "no layers": (lambda: kernel_directions(np.ones((2, 3, 1)), np.ones((2, 1)), []), SpecError, "at least one"),
}


@pytest.mark.parametrize(("call", "error", "says"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_said(call, error, says):
    with pytest.raises(error) as refusal:
        call()
    assert says in str(refusal.value)
