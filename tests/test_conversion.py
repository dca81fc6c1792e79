"""One start in all conventions: exact where one number is enough, else layer by layer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate import ArchitectureError, InitScale, Network, convert_scale
from nucleate.init_scale import CONVENTIONS

widths = st.integers(2, 300)
shapes = st.tuples(widths, st.lists(widths, min_size=1, max_size=3), widths)
scales = st.one_of(
    st.tuples(st.sampled_from(["gain", "epsilon"]), st.floats(1e-4, 10)),
    st.tuples(st.sampled_from(["gamma", "fan_in_gamma"]), st.floats(0.05, 4)),
)


def stds(scale, shape):
    inputs, hidden, outputs = shape
    all_widths = [inputs, *hidden, outputs]
    layers = scale.layers(len(hidden) + 1)
    return [
        one.std(all_widths[layer], all_widths[layer + 1], output_layer=layer == len(hidden))
        for layer, one in enumerate(layers)
    ]


@given(scales, shapes, st.sampled_from(CONVENTIONS))
def test_a_start_is_the_same_in_every_convention_and_back(scale, shape, convention):
    scale = InitScale(*scale)
    there = convert_scale(scale, *shape).to(convention)
    assert stds(there, shape) == pytest.approx(stds(scale, shape), rel=1e-9)
    back = convert_scale(there, *shape).to(scale.convention)
    assert back.layers(len(shape[1]) + 1)[0].value == pytest.approx(scale.value, rel=1e-7)
    assert stds(back, shape) == pytest.approx(stds(scale, shape), rel=1e-9)


@given(scales, widths, st.sampled_from(CONVENTIONS))
def test_where_all_layers_are_alike_one_number_is_one_number(scale, width, convention):
    scale = InitScale(*scale)
    converted = convert_scale(scale, width, [width, width], width)
    assert isinstance(converted.to(convention).value, float)


def test_where_layers_differ_no_number_stands_for_all():
    converted = convert_scale(InitScale("gain", 0.1), 10, [50, 20])
    assert converted.one_number("gain") == 0.1
    assert converted.one_number("epsilon") is None
    # By hand: 0.1 over the square roots of 10, 50 and 20.
    assert converted.to("epsilon").value == pytest.approx((0.0316227766, 0.0141421356, 0.0223606798))
    assert 50 ** -converted.values["gamma"][0] == pytest.approx(0.0316227766)
    assert 10 ** -converted.values["fan_in_gamma"][0] == pytest.approx(0.0316227766)


@settings(max_examples=5, deadline=None)
@given(st.sampled_from(CONVENTIONS), st.integers(0, 2**31 - 1))
def test_drawn_networks_have_the_standard_deviations_converted_to(convention, seed):
    converted = convert_scale(InitScale("gain", "1x0.1x3"), 60, [70, 50], 40)
    network = Network.create(60, [70, 50], 40, scale=converted.to(convention), seed=seed, dtype="float64")
    measured = [weight.std() for weight in network.weights]
    # A standard deviation of n numbers is known to 1 / sqrt(2 n) of itself; five times that.
    for found, std, weight in zip(measured, [1 / 60**0.5, 0.1 / 70**0.5, 3 / 50**0.5], network.weights, strict=True):
        assert found == pytest.approx(std, rel=5 / (2 * weight.size) ** 0.5)


def test_a_width_of_one_leaves_an_exponent_free_or_without_a_value():
    free = convert_scale(InitScale("gamma", 2.0), 1, [1, 1])
    assert free.one_number("fan_in_gamma") is not None
    none = convert_scale(InitScale("epsilon", 0.1), 1, [10])
    assert none.values["fan_in_gamma"][0] is None
    with pytest.raises(ArchitectureError, match=r"No fan_in_gamma gives layer 1 of 1-10-1 the standard deviation 0\.1"):
        none.to("fan_in_gamma")


def test_exponents_are_converted_beyond_what_floats_hold():
    converted = convert_scale(InitScale("gamma", 500.0), 100, [100, 100])
    assert converted.one_number("fan_in_gamma") == pytest.approx(500.0)
    assert converted.stds == (0.0, 0.0, 0.0)
    with pytest.raises(ArchitectureError, match="No gain gives layer 1"):
        converted.to("gain")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((InitScale("gain", "1x2"), 3, [4, 4]), "gain 1x2 has 2 numbers, and the network 3 layers"),
        ((InitScale("gain", 1.0), 0, [4]), "The widths are 0-4-1; each must be 1 or more"),
        ((InitScale("gain", 1.0), 3, []), "needs at least one hidden layer"),
        ((0.1, 3, [4]), "The scale is 0.1; give an InitScale"),
    ],
)
def test_what_cannot_be_converted_is_one_sentence(arguments, sentence):
    with pytest.raises(ArchitectureError, match=sentence):
        convert_scale(*arguments)


def test_a_convention_that_there_is_not_is_refused():
    converted = convert_scale(InitScale("gain", 1.0), 3, [4])
    for ask in (converted.to, converted.one_number):
        with pytest.raises(ArchitectureError, match="no init scale convention 'xavier'"):
            ask("xavier")


def test_its_json_and_its_card_tell_layers_that_differ():
    converted = convert_scale(InitScale("gain", "1x0.1"), 4, [9])
    assert converted.to_json()["value"] == "1x0.1"
    assert converted.to_json()["one_number"] == dict.fromkeys(CONVENTIONS)
    assert np.allclose([row["epsilon"] for row in converted.to_json()["layers"]], [0.5, 0.1 / 3])
    assert "0.5 x 0.0333333 (one for each layer)" in converted._repr_html_()
