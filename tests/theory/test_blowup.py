"""The blow-up time: the reference values, and an enclosure that holds the truth for random states of any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial
from mpmath import mp

from nucleate import ArchitectureError, SpecError, devices
from nucleate.theory import BlowupKind, blowup_time, chain_potential, linear_blowup_time, potential_blowup_time
from tests.theory import taylor
from tests.theory.states import gaussian, states

pytestmark = pytest.mark.slow

# 30-digit arithmetic, enclosure width 1e-28; of seed 2 the energy is negative at the start.
REFERENCE = np.array(
    [
        0.26242124792753015488,
        0.33706463319612159118,
        0.28420986716211459268,
        0.26909487508009260181,
        0.26896022480533223878,
    ]
)


def ensemble(states):
    return tuple(np.stack(layers) for layers in zip(*states, strict=True))


def test_ten_digits_of_the_reference_values_at_every_size():
    for size in (1e-200, 1e-6, 1.0, 1e3, 1e200):
        time = blowup_time(*ensemble([tuple(size * x for x in gaussian(seed, 20, 20)) for seed in range(5)]))
        np.testing.assert_allclose(time.estimate * size, REFERENCE, rtol=1e-11)
        assert (time.lower * size <= REFERENCE).all()
        assert (time.upper * size >= REFERENCE).all()
        assert ((time.upper - time.lower) / time.estimate < 1e-10).all()
        assert (time.kind == BlowupKind.BLOWS_UP).all()


@settings(max_examples=10)
@given(states())
def test_the_enclosure_is_narrow_and_holds_the_truth(layers):
    time = blowup_time(*layers)
    lower, upper = taylor.blowup_time(*layers)
    assert float(time.lower) <= lower
    assert upper <= float(time.upper)
    assert time.upper - time.lower < 1e-10 * time.estimate


@settings(max_examples=6)
@given(states(exponents=(-2, 2), unequal=4))
def test_the_enclosure_holds_the_truth_where_layers_differ_by_many_powers_of_ten(layers):
    time = blowup_time(*layers)
    lower, upper = taylor.blowup_time(*layers)
    assert float(time.lower) <= lower
    assert upper <= float(time.upper)


def aside(big, off=0.0):
    """A state across the top singular direction of its ``W2``, which what is ``off`` by decides when it comes in."""
    a, b = np.array([0.6, 0.8]), np.array([0.96, -0.28])
    across, along = np.array([0.8, -0.6]), np.array([0.28, 0.96])
    return a + off * across, big * np.outer(across, along) + np.outer(a, b), b


@pytest.mark.parametrize(
    "layers",
    [
        aside(100.0),
        aside(1000.0),
        aside(100.0, 1e-12),
        aside(1e4, 1e-8),
        (
            [0.0, 0.0],
            [[-1.96430407e-5, -8.47406568e-6, -2.37555269e-5], [2.17202153e-5, 3.6410577e-6, 6.51771328e-5]],
            [-5.93772079, 1.96485036, 2.40653972],
        ),
    ],
    ids=["rounding decides", "more so", "by 1e-12", "by 1e-8", "zero block"],
)
def test_the_enclosure_holds_the_truth_where_the_flow_amplifies_rounding(layers):
    layers = tuple(map(np.asarray, layers))
    time = blowup_time(*layers)
    lower, upper = taylor.blowup_time(*layers)
    assert 0 < float(time.lower) <= lower
    assert upper <= float(time.upper)
    assert time.lower <= time.estimate <= time.upper


def test_a_state_at_the_verge_of_settling_has_a_lower_end_below_its_blow_up():
    # Its blow-up, at 3.8075e8 by 40-digit arithmetic, comes of the rounding of its entries alone.
    a, b = np.array([0.6, 0.8]), np.array([0.28, 0.96])
    verge, plain = (-a, np.outer(a, b), b), gaussian(0, 2, 2)
    for time in (blowup_time(*verge), np.stack(blowup_time(*ensemble([plain, verge])), axis=1)[1]):
        _, lower, upper, kind = time
        assert kind == BlowupKind.SETTLES
        assert 1e5 < lower < 3.8e8
        assert np.isinf(upper)


@settings(max_examples=20)
@given(states())
def test_the_general_road_agrees_with_the_modes(layers):
    # The same flow without the reduction to modes, as gradient ascent on any homogeneous potential.
    general = potential_blowup_time(chain_potential, layers, 3, supremum=1.0)
    modes = blowup_time(*layers)
    assert general.lower <= modes.upper
    assert modes.lower <= general.upper


@settings(max_examples=20)
@given(states(exponents=(0, 0)), st.floats(1e-6, 1e3))
def test_time_scales_as_one_over_size(layers, size):
    one, scaled = blowup_time(*layers), blowup_time(*(size * layer for layer in layers))
    assert float(scaled.estimate) * size == pytest.approx(float(one.estimate), rel=1e-11)


def test_one_state_is_an_ensemble_of_one_and_need_not_be_square(monkeypatch):
    # Two cores, and a number of states that they cannot share equally; the second time they work side by side.
    monkeypatch.setattr(devices, "CORES", 2)
    many = [gaussian(seed, 2, 3) for seed in range(33)]
    alone = [blowup_time(*one) for one in many]
    for _ in range(2):
        for one, each in zip(alone, zip(*blowup_time(*ensemble(many)), strict=True), strict=True):
            np.testing.assert_allclose(one, each, rtol=1e-10)


def test_the_balanced_ray_blows_up_at_one_over_size():
    # theta = R u with u fixed: R' = R^2.
    a, b = np.array([0.6, 0.8]), np.array([2.0, 1.0, 2.0]) / 3
    assert float(blowup_time(2 * a, 2 * np.outer(a, b), 2 * b).estimate) == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize(
    ("a", "W2", "b"),
    [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)],
    ids=["zero", "only W2", "only a", "only b"],
)
def test_equilibria_never_blow_up_and_are_named(a, W2, b):
    layers = gaussian(0, 2, 3)
    time = blowup_time(*(c * layer for c, layer in zip((a, W2, b), layers, strict=True)))
    assert time.kind == BlowupKind.RESTS
    assert np.isinf(time[:3]).all()


def test_states_that_tend_to_an_equilibrium_are_named_also_within_an_ensemble():
    # a = -1 / (1 + t), W2 = b = 1 / (1 + t) in the first neurons: the energy stays negative.
    one, outer, inner = np.zeros((2, 3)), np.array([1.0, 0.0]), np.array([1.0, 0.0, 0.0])
    one[0, 0] = 1.0
    resting, settling, moving = (0 * outer, one, 0 * inner), (-outer, one, inner), (outer, one, inner)
    time = blowup_time(*ensemble([resting, settling, moving]))
    assert list(time.kind) == [BlowupKind.RESTS, BlowupKind.SETTLES, BlowupKind.BLOWS_UP]
    assert np.isinf([time.estimate[1], time.upper[1]]).all()
    assert time.lower[1] > 1e6
    assert float(time.estimate[2]) == pytest.approx(1.0, rel=1e-12)


def test_a_potential_without_known_supremum_still_closes():
    layers = gaussian(0, 2, 3)
    known, unknown = (potential_blowup_time(chain_potential, layers, 3, supremum=s) for s in (1.0, np.inf))
    assert unknown.lower <= known.upper
    assert known.lower <= unknown.upper
    assert unknown.upper - unknown.lower < 1e-10 * unknown.estimate


def test_any_positive_multiple_of_a_potential_is_followed():
    layers = gaussian(0, 2, 3)
    for factor in (1e-8, 1e5):
        time = potential_blowup_time(Partial(scaled_chain, np.asarray(factor)), layers, 3)
        assert float(time.estimate) * factor == pytest.approx(float(blowup_time(*layers).estimate), rel=1e-10)


def scaled_chain(factor, layers):
    return factor * chain_potential(layers)


@settings(max_examples=20)
@given(st.integers(0, 2**31 - 1), st.floats(-3, 2))
def test_enclosures_from_a_state_are_sharpened_not_moved_by_integration(seed, exponent):
    # From the start already: t + R^-(D-2) / ((D-2) sup C) <= T* <= t + N / (D (D-2) C), for depth 4 and a 2 x 2 moment.
    rng = np.random.default_rng(seed)
    weights = [10**exponent * rng.standard_normal((2, 2)) for _ in range(4)]
    M = rng.standard_normal((2, 2))
    time = linear_blowup_time(weights, M)
    N = sum((weight**2).sum() for weight in weights)
    C = np.sum(weights[3] @ weights[2] @ weights[1] @ weights[0] * M)
    at_least = (4 / N) / (2 * np.linalg.norm(M, 2))
    assert time.lower >= at_least * (1 - 1e-12)
    assert np.linalg.norm(M, 2) * (N / 4) ** 2 >= C
    if C > 0:
        assert time.upper <= N / (8 * C) * (1 + 1e-9)
    assert time.upper - time.lower < 1e-9 * time.estimate


@settings(max_examples=10)
@given(st.integers(0, 2**31 - 1), st.sampled_from([3, 4, 6]))
def test_a_chain_of_any_depth_blows_up_no_later_than_a_balanced_one_of_its_energy(seed, depth):
    # E' >= L E^(2-2/L) in 40 digits, and with it T* <= E^(-(L-2)/L) / (L-2) from the start already.
    rng = np.random.default_rng(seed)
    a, *matrices, b = [rng.standard_normal(shape) for shape in [(2,), *[(2, 2)] * (depth - 2), (2,)]]
    with mp.workdps(40):
        chain = [mp.matrix(a).T, *map(mp.matrix, matrices), mp.matrix(b)]
        left, right = [mp.matrix([[1]])], [mp.matrix([[1]])]
        for layer in chain[:-1]:
            left.append(left[-1] * layer)
        for layer in reversed(chain[1:]):
            right.insert(0, layer * right[0])
        E = (left[-1] * chain[-1])[0]
        if E < 0:
            a, E = -a, -E
        speed = sum(mp.norm(p) ** 2 * mp.norm(q) ** 2 for p, q in zip(left, right, strict=True))
        assert speed >= depth * E ** (2 - mp.mpf(2) / depth)
        latest = float(E ** (-mp.mpf(depth - 2) / depth) / (depth - 2))
    time = blowup_time(a, *matrices, b)
    assert time.upper <= latest * (1 + 1e-9)
    first = np.array([1.0, 0.0])
    one = (first, *[np.outer(first, first)] * (depth - 2), first)
    assert blowup_time(*one).estimate == pytest.approx(1 / (depth - 2), rel=1e-9)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (([1.0], [[1.0, 2.0]], [1.0]), "do not fit"),
        (([1.0], [[np.nan]], [1.0]), "NaN"),
        (([1j], [[1.0]], [1.0]), "a is not an array of real numbers"),
        (([1.0, 2.0], [[1.0], [1.0, 2.0]], [1.0]), "W2 is not an array of real numbers"),
        (([1.0],), "at least two"),
        (([1.0], [1.0], [1.0]), "axes"),
        ((np.ones((2, 1)), np.ones((3, 1, 1)), np.ones((2, 1))), "do not fit"),
        ((np.ones(0), np.ones((0, 1)), np.ones(1)), "do not fit"),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers, message):
    with pytest.raises(ArchitectureError, match=message):
        blowup_time(*layers)


def test_a_potential_wants_a_state_of_finite_numbers_and_a_degree():
    for state, message in (([np.nan], "NaN"), (["a"], "not an array of real numbers"), ([], "no arrays")):
        with pytest.raises(ArchitectureError, match=message):
            potential_blowup_time(chain_potential, state, 3)
    with pytest.raises(SpecError, match="1 or more"):
        potential_blowup_time(chain_potential, gaussian(0, 2, 3), 0)


@pytest.mark.parametrize(
    "tiny", [(1e-80, 1e-80, 1), (1, 1e-80, 1e-80), (1e-80, 1, 1e-80), (1e-60, 1e-90, 1), (1e-9, 1, 1e-9)]
)
def test_two_layers_far_below_the_third_have_the_blow_up_of_700_bit_arithmetic(tiny, monkeypatch):
    monkeypatch.setattr(taylor, "BITS", 700)
    monkeypatch.setattr(taylor, "ONE", 1 << 700)
    layers = tuple(factor * layer for factor, layer in zip(tiny, gaussian(0, 2, 3), strict=True))
    time = blowup_time(*layers)
    lower, upper = taylor.blowup_time(*layers, width=1e-12, each_layer=True)
    assert time.kind == BlowupKind.BLOWS_UP
    assert float(time.lower) <= lower
    assert upper <= float(time.upper)
    assert time.upper - time.lower < 1e-6 * time.estimate


def test_a_smaller_pair_takes_the_logarithm_longer_also_where_energies_underflow():
    # A pair of rate |b| grows by a factor of 1e20 in log(1e20) / |b|, at any size.
    a, W2, b = gaussian(0, 2, 3)
    times = [float(blowup_time(size * a, size * W2, b).estimate) for size in (1e-160, 1e-180, 1e-200)]
    np.testing.assert_allclose(np.diff(times), np.log(1e20) / np.linalg.norm(b), rtol=1e-6)


def test_an_enclosure_that_does_not_close_is_named():
    # Four layers, two of them tiny: far beyond the horizon of the integration.
    a, W2, b = gaussian(0, 2, 2)
    time = blowup_time(1e-80 * a, W2, W2, 1e-80 * b)
    assert time.kind in (BlowupKind.WIDE, BlowupKind.SETTLES)
    assert time.lower < time.upper


@pytest.mark.parametrize(
    "layers",
    [
        ([0.0, 0.0], [[0.1, -0.3], [0.2, -0.6]], [0.3, 0.1]),
        ([0.0, 0.0], [[3.0, -1.0, -2.0], [0.0, 0.0, 0.0]], [0.7, 0.7, 0.7]),
        ([0.3, 0.1], [[0.1, 0.2], [-0.3, -0.6]], [0.0, 0.0]),
        ([0.0, 0.0], [[0.1, -0.3], [0.0, 0.0]], [[0.3, 0.0], [0.1, 0.0]], [0.0, 0.7]),
    ],
)
def test_exact_equilibria_rest_though_their_gradients_round_to_something(layers):
    assert blowup_time(*layers).kind == BlowupKind.RESTS
    moved = [np.asarray(layer) for layer in layers]
    moved[0] = moved[0] + 1e-3
    assert blowup_time(*moved).kind != BlowupKind.RESTS
