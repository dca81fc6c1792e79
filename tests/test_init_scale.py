"""The three conventions of the field, against their definitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate import ArchitectureError, InitScale

fans = st.integers(1, 4096)


@given(fans, fans, st.booleans(), st.floats(1e-12, 1e3))
def test_epsilon_is_the_standard_deviation_itself(fan_in, fan_out, output_layer, value):
    assert InitScale("epsilon", value).std(fan_in, fan_out, output_layer=output_layer) == value


@given(fans, fans, st.floats(0, 8))
def test_gamma_is_a_power_of_the_hidden_width_the_layer_touches(fan_in, fan_out, value):
    scale = InitScale("gamma", value)
    assert scale.std(fan_in, fan_out, output_layer=False) == pytest.approx(fan_out**-value)
    assert scale.std(fan_in, fan_out, output_layer=True) == pytest.approx(fan_in**-value)


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
    with pytest.raises(ArchitectureError, match="no init scale convention 'xavier'"):
        InitScale("xavier", 1.0)
