"""A convolutional network is what loops over positions say, whatever its strides, paddings and pools."""

import itertools

import numpy as np
import pytest

from nucleate import ArchitectureError, ConvNetwork, InitScale
from nucleate.observe import layers_of, measure

GAIN = InitScale("gain", 1.0)


def by_loops(network, rows):
    """The outputs, written with a loop over everything."""
    return np.array([_one_row(network, np.asarray(row, np.float64).reshape(network.shape)) for row in rows])


def _one_row(network, signal):
    activation = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}[network.activation.name]
    for kernel, bias, step in zip(network.kernels, network.biases, network.steps, strict=True):
        k, sizes = kernel.shape[1], signal.shape[:-1]
        before = {"same": (k - 1) // 2, "circular": (k - 1) // 2, "valid": 0}.get(step.padding, step.padding)
        around = {"same": k - 1, "circular": k - 1, "valid": 0}.get(step.padding, 2 * before)
        places = [(size + around - k) // step.stride + 1 for size in sizes]
        z = np.zeros((*places, len(kernel)))
        for place in itertools.product(*map(range, places)):
            for unit in range(len(kernel)):
                total = 0.0 if bias is None else float(bias[unit])
                for offset in itertools.product(range(k), repeat=len(sizes)):
                    at = [p * step.stride + o - before for p, o in zip(place, offset, strict=True)]
                    if step.padding == "circular":
                        at = [a % size for a, size in zip(at, sizes, strict=True)]
                    if all(0 <= a < size for a, size in zip(at, sizes, strict=True)):
                        total += float(np.dot(kernel[(unit, *offset)], signal[tuple(at)]))
                z[(*place, unit)] = total
        signal = activation(z)
        pooled = np.zeros((*(size // step.pool for size in places), len(kernel)))
        for place in itertools.product(*map(range, pooled.shape[:-1])):
            window = signal[tuple(slice(p * step.pool, (p + 1) * step.pool) for p in place)]
            of_channels = window.reshape(-1, len(kernel))
            pooled[place] = of_channels.mean(axis=0) if step.pooling == "mean" else of_channels.max(axis=0)
        signal = pooled
    features = signal.ravel() if network.readout == "flatten" else signal.reshape(-1, signal.shape[-1]).mean(axis=0)
    outputs = np.asarray(network.head, np.float64) @ features
    return outputs if network.head_bias is None else outputs + network.head_bias


@pytest.mark.parametrize(
    ("shape", "channels", "options"),
    [
        ((9, 2), [3, 2], {"kernel": (3, 2), "bias": True}),
        ((11, 1), [2], {"kernel": 4, "stride": 3, "padding": "valid", "readout": "flatten"}),
        ((5, 6, 2), [3, 2], {"pool": (2, 1), "readout": "flatten", "bias": "first"}),
        ((7, 5, 1), [2, 2], {"kernel": (2, 3), "stride": (2, 1), "padding": (1, "circular"), "activation": "relu"}),
        ((6, 7, 1), [3], {"kernel": 5, "pool": 3, "pooling": "max"}),
    ],
    ids=["1d", "1d strided", "2d pooled", "2d circular", "2d max"],
)
def test_its_outputs_are_those_of_loops(shape, channels, options):
    network = ConvNetwork.create(shape, channels, 2, scale=GAIN, dtype="float64", seed=3, **options)
    x = np.random.default_rng(0).standard_normal((3, int(np.prod(shape))))
    np.testing.assert_allclose(network(x), by_loops(network, x), atol=1e-12)


@pytest.mark.parametrize(
    ("convention", "value", "stds"),
    [
        ("gain", 0.5, [0.5 / (3 * 3 * 2) ** 0.5, 0.5 / (3 * 3 * 40) ** 0.5, 0.5 / 50**0.5]),
        ("epsilon", 0.01, [0.01, 0.01, 0.01]),
        ("gamma", 0.7, [40**-0.7, 50**-0.7, 50**-0.7]),
        ("fan_in_gamma", 0.7, [18**-0.7, 360**-0.7, 50**-0.7]),
    ],
)
def test_each_kind_has_the_scale_of_its_convention(convention, value, stds):
    network = ConvNetwork.create((6, 6, 2), [40, 50], 30, scale=InitScale(convention, value))
    for matrix, std in zip(network.kinds.values(), stds, strict=True):
        assert np.std(matrix) == pytest.approx(std, rel=0.1)


def test_scales_may_differ_by_kind_and_draws_do_not_depend_on_them():
    one = ConvNetwork.create((6, 1), [4], 2, scale=GAIN, seed=1, bias=True)
    other = ConvNetwork.create((6, 1), [4], 2, scale=InitScale("gain", "0.1x1"), seed=1, bias=True)
    named = {"conv1": InitScale("gain", 0.1), "head": GAIN}
    by_name = ConvNetwork.create((6, 1), [4], 2, scale=named, seed=1, bias=True)
    np.testing.assert_allclose(other.kernels[0], 0.1 * one.kernels[0], rtol=1e-6)
    np.testing.assert_allclose(other.biases[0], 0.1 * one.biases[0], rtol=1e-6)
    np.testing.assert_array_equal(other.head, one.head)
    np.testing.assert_array_equal(by_name.kernels[0], other.kernels[0])
    assert not np.array_equal(ConvNetwork.create((6, 1), [4], 2, scale=GAIN, seed=2).head, one.head)


def test_its_layers_have_kernels_as_units_seen_at_every_position():
    network = ConvNetwork.create((4, 5, 2), [3, 6], 2, scale=GAIN, bias=True, readout="flatten")
    x = np.random.default_rng(0).standard_normal((7, 40))
    first, second = layers_of(network, x)
    assert (first.name, first.incoming.shape, first.weights.shape) == ("conv1", (3, 19), (3, 18))
    np.testing.assert_array_equal(first.weights[1], network.kernels[0][1].ravel())
    # What reads the channel: every kernel of the next layer at every offset, the head at every position.
    np.testing.assert_array_equal(np.sort(first.outgoing[2]), np.sort(network.kernels[1][..., 2].ravel()))
    by_position = network.head.reshape(2, 20, 6)
    np.testing.assert_array_equal(second.outgoing[4], by_position[..., 4].ravel())
    assert first.entering.shape == (3, 20 * 7)
    np.testing.assert_allclose(np.tanh(second.entering), second.leaving)
    row = measure(network, network, x)
    assert row["relative_distance_conv1"] == 0
    assert 1 <= row["effective_neurons_conv2"] <= 6


def test_opposite_kernels_do_not_do_the_same_below_a_maximum():
    x = np.ones((2, 8))
    for pooling, one in (("mean", True), ("max", False)):
        network = ConvNetwork.create((8, 1), [2], 1, scale=GAIN, pool=2, pooling=pooling)
        assert layers_of(network, x)[0].opposites_are_one is one


def test_it_says_whether_it_can_give_a_constant():
    biased = {"none": False, "first": False, "all": True}
    for bias, fits in biased.items():
        assert ConvNetwork.create((6, 1), [2], 1, scale=GAIN, bias=bias).fits_constants is fits


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape": (28, 28)}, None),
        ({"shape": (8,)}, r"shape of the inputs is \(8,\); give \(length, channels\) or \(height"),
        ({"channels": []}, "at least one layer; give channels such as 8"),
        ({"channels": [0]}, "number of kernels of layer 1 is 0; it must be a whole number of 1 or more"),
        ({"kernel": 9, "padding": "valid"}, "kernel of layer 1 is 9 wide, and its inputs 6 x 6"),
        ({"kernel": 7}, "kernel of layer 1 is 7 wide, and its inputs 6 x 6; make the kernel smaller"),
        ({"kernel": 7, "padding": "circular"}, "kernel of layer 1 is 7 wide, and its inputs 6 x 6"),
        ({"channels": [2, 2], "pool": (3, 1), "kernel": (3, 5)}, "kernel of layer 2 is 5 wide, and its inputs 2 x 2"),
        ({"stride": 7}, "layer 1 move 7 positions at a time over inputs of 6 x 6; make the stride smaller"),
        (
            {"padding": 3},
            "padding of layer 1 is 3, and its kernels are 3 wide, so that some of them would read nothing",
        ),
        ({"kernel": (3, 3)}, "kernel has 2 entries for 1 layers"),
        ({"pool": 7}, "has 6 x 6 positions, and pools 7 along each axis"),
        ({"padding": "full"}, "padding is 'full'; choose same or valid or circular"),
        ({"scale": InitScale("gain", "1x1x1")}, r"3 numbers, and the model 2 kinds of matrices \(conv1, head\)"),
        ({"scale": {"conv1": GAIN}}, "kinds of matrices conv1, head, and the scale lacks some"),
        ({"scale": 0.1}, r"The scale is 0.1; give an InitScale, such as InitScale\('epsilon', 0.01\), or one for each"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_sentence(change, said):
    given = {"shape": (6, 6, 1), "channels": [2], "outputs": 2, "scale": GAIN} | change
    if said is None:
        # Two numbers are a length and its channels.
        assert ConvNetwork.create(**given).inputs == 784
        return
    with pytest.raises(ArchitectureError, match=said):
        ConvNetwork.create(**given)


def test_rows_of_another_size_are_refused():
    network = ConvNetwork.create((6, 6, 1), [2], 2, scale=GAIN)
    with pytest.raises(ArchitectureError, match=r"shape \(3, 35\), and the model reads rows of 6 x 6 x 1; expected"):
        network(np.ones((3, 35)))
