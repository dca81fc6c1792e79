"""The four conventions of the field, against their definitions; one number for all layers, or one for each."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate import ArchitectureError, InitScale, PerLayer
from nucleate.init_scale import read_value

fans = st.integers(1, 4096)


@given(fans, fans, st.booleans(), st.floats(1e-12, 1e3))
def test_epsilon_is_the_standard_deviation_itself(fan_in, fan_out, output_layer, value):
    assert InitScale("epsilon", value).std(fan_in, fan_out, output_layer=output_layer) == value


@given(fans, fans, st.floats(0, 8))
def test_gamma_is_a_power_of_the_hidden_width_the_layer_touches(fan_in, fan_out, value):
    scale = InitScale("gamma", value)
    assert scale.std(fan_in, fan_out, output_layer=False) == pytest.approx(fan_out**-value)
    assert scale.std(fan_in, fan_out, output_layer=True) == pytest.approx(fan_in**-value)


@given(fans, fans, st.booleans(), st.floats(0, 8))
def test_fan_in_gamma_is_a_power_of_what_every_matrix_reads(fan_in, fan_out, output_layer, value):
    std = InitScale("fan_in_gamma", value).std(fan_in, fan_out, output_layer=output_layer)
    assert std == pytest.approx(math.exp(-value * math.log(fan_in)))


@given(fans, fans, st.booleans())
def test_fan_in_gamma_one_half_is_gain_one(fan_in, fan_out, output_layer):
    stds = [
        InitScale(*scale).std(fan_in, fan_out, output_layer=output_layer)
        for scale in (("fan_in_gamma", 0.5), ("gain", 1.0))
    ]
    assert stds[0] == pytest.approx(stds[1])


@given(fans, fans, st.floats(1e-6, 1e3))
def test_gain_one_makes_unit_variance_sums(fan_in, fan_out, value):
    std = InitScale("gain", value).std(fan_in, fan_out, output_layer=False)
    assert std**2 * fan_in == pytest.approx(value**2)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("convention", ["epsilon", "gain"])
def test_a_scale_that_is_no_positive_number_is_refused(convention, value):
    with pytest.raises(ArchitectureError, match=f"init scale {convention} is {value}; it must be positive"):
        InitScale(convention, value)


def test_an_unknown_convention_is_refused():
    with pytest.raises(ArchitectureError, match=r"no init scale convention 'xavier'; choose gain, .* or fan_in_gamma"):
        InitScale("xavier", 1.0)


@given(st.lists(st.floats(1e-9, 1e5), min_size=2, max_size=6))
def test_what_a_scale_by_layer_is_called_is_read_as_the_same(values):
    scale = InitScale("gain", values)
    assert scale.value == tuple(values)
    assert read_value(scale.name) == scale.value
    assert InitScale("gain", scale.name) == scale == pickle.loads(pickle.dumps(scale))
    assert [one.value for one in scale.layers(len(values))] == values


def test_a_scale_by_layer_is_called_by_its_numbers():
    assert InitScale("gain", (1, 0.1, 1)).name == "1x0.1x1"
    assert f"{PerLayer((1 / 3, 1.0)):g}" == "0.333333x1"


@given(st.lists(st.floats(0.01, 10), min_size=2, max_size=5), st.integers(2, 1000))
def test_a_scale_by_layer_counts_as_the_number_of_the_same_product(values, width):
    for convention in ("gain", "epsilon", "gamma", "fan_in_gamma"):
        scale = InitScale(convention, values)

        def log_product(scale):
            return sum(math.log(one.std(width, width, output_layer=False)) for one in scale.layers(len(values)))

        one_number = InitScale(convention, scale.overall)
        assert log_product(scale) == pytest.approx(log_product(one_number), abs=1e-9)
        assert scale.smallness == one_number.smallness


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("1x0x1", "The init scale gain of layer 2 is 0.0; it must be positive"),
        ((1.0, True), "The init scale gain of layer 2 is True; it must be positive"),
        ("1xx1", "The init scale gain is '1xx1'; it must be a number, or one for each layer with x between"),
        ((), r"The init scale gain is \(\); give a number, or one for each layer"),
    ],
)
def test_a_scale_by_layer_that_is_none_is_refused(value, sentence):
    with pytest.raises(ArchitectureError, match=sentence):
        InitScale("gain", value)


def test_a_scale_for_another_number_of_layers_is_refused():
    with pytest.raises(
        ArchitectureError, match=r"gain 1x0\.1 has 2 numbers, and the network 3 layers, the output layer"
    ):
        InitScale("gain", "1x0.1").layers(3)


def test_a_scale_by_layer_has_no_one_standard_deviation():
    with pytest.raises(ArchitectureError, match=r"1x0.1 has a number for each layer; take that of one, scale\.layers"):
        InitScale("gain", "1x0.1").std(5, 5, output_layer=False)


@pytest.mark.parametrize("convention", ["gain", "epsilon", "gamma", "fan_in_gamma"])
@pytest.mark.parametrize(
    ("fans", "said"), [((0, 5), "fan_in is 0"), ((5, -3), "fan_out is -3"), ((2.5, 1), "fan_in is 2.5")]
)
def test_a_layer_of_no_whole_width_has_no_scale(convention, fans, said):
    with pytest.raises(ArchitectureError, match=f"The {said}; give a whole number of 1 or more"):
        InitScale(convention, 1.0).std(*fans, output_layer=False)
