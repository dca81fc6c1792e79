"""The network pytree: what it computes, how it is drawn, and that a saved one comes back bit for bit."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from nucleate import Activation, ArchitectureError, InitScale, Network
from nucleate._files import read_sealed
from nucleate.devices import float64
from nucleate.network import read_metadata
from tests.sealed import seal_tensors

GAIN = InitScale("gain", 1.0)
architectures = st.tuples(
    st.integers(1, 6), st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 4), st.booleans()
)


@settings(max_examples=12)
@given(architectures, st.integers(1, 9), st.integers(0, 2**31 - 1))
def test_outputs_are_the_textbook_formula(architecture, rows, seed):
    inputs, hidden, outputs, bias = architecture
    network = Network.create(inputs, hidden, outputs, scale=GAIN, bias=bias, seed=seed, dtype="float64")
    x = np.random.default_rng(seed).standard_normal((rows, inputs))
    h = x
    for layer in range(network.depth):
        h = h @ np.asarray(network.weights[layer]).T
        if bias:
            h = h + np.asarray(network.biases[layer])
        if layer < network.depth - 1:
            h = np.tanh(h)
    np.testing.assert_allclose(network(x), h, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("rows", [7, 502])
def test_wide_layers_give_and_drop_the_same_whether_they_multiply_rows_or_columns(rows):
    network = Network.create(3, [500, 501], 2, scale=InitScale("gain", 1.0), bias=True, dtype="float64")
    x, kept = np.random.default_rng(0).standard_normal((3, rows)), {0: np.arange(500) % 2, 1: np.arange(501) % 3}
    with float64():
        outputs = network.on_columns(x, lambda layer, signal: signal * kept[layer][:, None])
    signal = x
    for layer, (weights, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        signal = np.asarray(weights) @ signal + np.asarray(bias)[:, None]
        signal = np.tanh(signal) * kept[layer][:, None] if layer < 2 else signal
    np.testing.assert_allclose(outputs, signal, rtol=1e-12, atol=1e-14)


def test_draws_have_the_standard_deviation_asked_for_and_no_mean():
    network = Network.create(300, [400, 500], 300, scale=InitScale("epsilon", 0.02), bias=True, dtype="float64")
    for leaf in jax.tree.leaves(network):
        samples = np.asarray(leaf).ravel()
        assert samples.std() == pytest.approx(0.02, rel=5 / np.sqrt(2 * samples.size))
        assert abs(samples.mean()) < 5 * 0.02 / np.sqrt(samples.size)


def test_one_seed_at_two_scales_or_dtypes_is_the_same_draw():
    unit = Network.create(4, [6, 5], 2, scale=InitScale("epsilon", 1.0), bias=True, seed=3, dtype="float64")
    tiny = Network.create(4, [6, 5], 2, scale=InitScale("epsilon", 2.0**-20), bias=True, seed=3, dtype="float64")
    single = Network.create(4, [6, 5], 2, scale=InitScale("epsilon", 1.0), bias=True, seed=3)
    for a, b, c in zip(*map(jax.tree.leaves, (unit, tiny, single)), strict=True):
        np.testing.assert_array_equal(a * 2.0**-20, b)
        np.testing.assert_array_equal(np.asarray(a, np.float32), c)


def test_seeds_and_layers_draw_differently():
    a, b = (Network.create(5, [5, 5], 5, scale=GAIN, seed=seed) for seed in (0, 1))
    assert not np.allclose(a.weights[0], b.weights[0])
    assert not np.allclose(a.weights[0], a.weights[1])


def test_scale_and_bias_may_differ_by_layer():
    scales = [InitScale("epsilon", 0.1), InitScale("epsilon", 1e-3), InitScale("gain", 2.0)]
    network = Network.create(3, [200, 300], 1, scale=scales, bias=[True, False, True])
    assert [bias is not None for bias in network.biases] == [True, False, True]
    assert np.std(network.weights[0]) == pytest.approx(0.1, rel=0.2)
    assert np.std(network.weights[1]) == pytest.approx(1e-3, rel=0.2)


def test_a_network_is_a_pytree_that_jax_can_differentiate_and_cannot_be_changed():
    network = Network.create(3, [4], 1, scale=GAIN, bias=[True, False])
    gradient = jax.grad(lambda n: n(jnp.ones((2, 3))).sum())(network)
    assert isinstance(gradient, Network)
    assert gradient.biases[1] is None
    with pytest.raises(AttributeError):
        network.weights = ()


@settings(max_examples=12)
@given(architectures, st.sampled_from(["float32", "float64"]), st.sampled_from(["relu", "tanh", "gelu"]))
def test_a_saved_network_comes_back_bit_for_bit(tmp_path_factory, architecture, dtype, activation):
    inputs, hidden, outputs, bias = architecture
    network = Network.create(inputs, hidden, outputs, scale=GAIN, bias=bias, activation=activation, dtype=dtype)
    path = tmp_path_factory.mktemp("saved") / "network.safetensors"
    network.save(path, {"note": "凝縮"})
    loaded = Network.load(path)
    assert jax.tree.structure(loaded) == jax.tree.structure(network)
    assert loaded.dtype == dtype
    for a, b in zip(jax.tree.leaves(network), jax.tree.leaves(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    assert read_metadata(path)["note"] == "凝縮"
    assert network.to_bytes({"note": "凝縮"}) == path.read_bytes()


def test_an_unreadable_file_is_one_clear_sentence(tmp_path):
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    with pytest.raises(ArchitectureError, match=r"There is no network file .*good\.safetensors; check the path"):
        Network.load(good)
    Network.create(3, [4], 1, scale=GAIN).save(good)
    bad.write_bytes(good.read_bytes()[:-8])
    with pytest.raises(ArchitectureError, match=r"cannot be read \(its checksum is wrong\); save the network again"):
        Network.load(bad)
    save_file({"weights.0": np.ones((2, 2))}, bad)
    with pytest.raises(ArchitectureError, match="it has no checksum, so nucleate did not write it as it is"):
        Network.load(bad)
    bad.write_bytes(seal_tensors(bad.read_bytes()))
    with pytest.raises(ArchitectureError, match="holds no nucleate network"):
        Network.load(bad)


def test_every_flipped_bit_is_noticed(tmp_path):
    file = tmp_path / "network.safetensors"
    Network.create(1, [1], 1, scale=GAIN).save(file)
    good = file.read_bytes()
    for place in range(len(good)):
        file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(ArchitectureError, match=r"its checksum is wrong|it has no checksum"):
            Network.load(file)


WEIGHTS = {"weights.0": np.ones((4, 3), "f"), "weights.1": np.ones((1, 4), "f")}


@pytest.mark.parametrize(
    ("tensors", "changes", "sentence"),
    [
        (WEIGHTS, {"widths": [3, 5, 1]}, r"it holds .* for the widths \[3, 5, 1\]"),
        (WEIGHTS, {"widths": None}, "its widths are None"),
        (WEIGHTS, {"widths": [3, "4", 1]}, "its widths are"),
        (WEIGHTS, {"biases": [True, False]}, "it holds"),
        (WEIGHTS, {"biases": [False]}, "its biases are"),
        (WEIGHTS | {"biases.0": np.ones((1, 4), "f")}, {"biases": [True, False]}, "it holds"),
        (WEIGHTS | {"biases.0": np.ones(4)}, {"biases": [True, False]}, "its dtype is float32 and float64"),
        ({name: one.astype("int32") for name, one in WEIGHTS.items()}, {}, "its dtype is int32"),
        (WEIGHTS | {"more": np.ones(1, "f")}, {}, "it holds"),
    ],
)
def test_a_forged_file_with_a_right_checksum_is_one_sentence(tmp_path, tensors, changes, sentence):
    file = tmp_path / "network.safetensors"
    Network.create(3, [4], 1, scale=GAIN).save(file)
    told = json.dumps(read_metadata(file) | changes)
    file.write_bytes(seal_tensors(save(tensors, {"nucleate": told})))
    with pytest.raises(ArchitectureError, match=rf"is damaged \(.*{sentence}.*; save the network again"):
        Network.load(file)


def test_a_file_of_an_activation_that_is_not_registered_is_told_to_register_it(tmp_path):
    file = tmp_path / "network.safetensors"
    own = Activation("of-one-module", jnp.arctan, 1, 1.0, 1.0)
    Network.create(3, [4], 1, scale=GAIN, activation=own).save(file)
    assert Network.load(file, activation=own).activation == own
    with pytest.raises(
        ArchitectureError,
        match=r"network.safetensors cannot be used here. Its activation 'of-one-module' is not known; ",
    ) as refused:
        Network.load(file)
    assert str(refused.value).endswith("or pass it from Python, for the command line knows the package's own alone.")


def test_a_network_file_is_read_once(tmp_path, monkeypatch):
    file = tmp_path / "network.safetensors"
    Network.create(3, [4], 1, scale=GAIN).save(file)
    reads = []
    monkeypatch.setattr("nucleate.network.read_sealed", lambda path: reads.append(path) or read_sealed(path))
    Network.load(file)
    assert reads == [file]


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(Exception, match=r"absent.* cannot be written \(No such file or directory\); check the folder"):
        Network.create(3, [4], 1, scale=GAIN).save(tmp_path / "absent" / "network.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": []}, "at least one hidden layer"),
        ({"hidden": 5}, "The hidden widths are 5; give whole numbers in a list"),
        ({"hidden": [5.5]}, r"The hidden widths are \[5.5\]; give whole numbers"),
        (
            {"hidden": [10**9, 10**9]},
            r"3-1000000000-1000000000-1 make 1e\+18 parameters, more than this machine's memory",
        ),
        ({"scale": 0.1}, "The scale is 0.1; give an InitScale"),
        ({"hidden": [5, 0]}, "The widths are 3-5-0-1; each must be 1 or more"),
        ({"dtype": "float16"}, "must be float32 or float64"),
        ({"bias": [True]}, "bias has 1 entries for 2 layers"),
        ({"scale": [GAIN] * 3}, "scale has 3 entries for 2 layers"),
        ({"activation": "cosh"}, "no activation 'cosh'"),
        ({"bias": "yes"}, "bias is 'yes'; give one value that is no text"),
        ({"seed": "a"}, "The seed is 'a'; it must be a whole number"),
        ({"seed": 1.5}, "The seed is 1.5; it must be a whole number"),
    ],
)
def test_what_cannot_be_a_network_is_refused(changes, message):
    arguments = {"hidden": [4], "scale": GAIN} | changes
    with pytest.raises(ArchitectureError, match=message):
        Network.create(3, outputs=1, **arguments)


def test_input_may_be_a_list_and_what_does_not_fit_is_refused():
    network = Network.create(3, [4], 1, scale=GAIN)
    with pytest.raises(ArchitectureError, match=r"shape \(2, 5\); expected \(rows, 3\)"):
        network(jnp.ones((2, 5)))
    assert network([[1.0, 2.0, 3.0]]).shape == (1, 1)


@pytest.mark.parametrize(("inputs", "width"), [(3, 1), (7, 64), (5, 1000), (64, 64)])
def test_one_program_draws_the_numbers_that_jax_gives_for_each_shape(inputs, width):
    drawn = Network.create(inputs, [width], 1, scale=InitScale("epsilon", 1.0), bias=True, seed=5, dtype="float64")
    with float64():
        for layer, (weight, bias) in enumerate(zip(drawn.weights, drawn.biases, strict=True)):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(5, impl="threefry2x32"), layer))
            for part, key in zip((weight, bias), keys, strict=True):
                assert np.array_equal(part, jax.random.normal(key, part.shape, "float64"))


@pytest.mark.parametrize("lies", [np.asfortranarray, lambda weight: np.repeat(weight, 2, axis=1)[:, ::2]])
def test_a_file_has_the_numbers_however_they_lie_in_memory(lies):
    drawn = Network.create(3, [5, 4], 2, scale=GAIN, bias=True)
    network = Network(tuple(map(lies, map(np.asarray, drawn.weights))), drawn.biases, drawn.activation)
    again = Network.from_bytes(network.to_bytes())
    assert all(map(np.array_equal, again.weights, drawn.weights))
