"""States on the way: exact where the solution is known, conserving what the flow conserves, in the order asked for."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from nucleate import ArchitectureError, SpecError
from nucleate.theory import State, blowup_time, first_integrals, states_at_fractions, states_at_times
from tests.theory.states import gaussian

pytestmark = pytest.mark.slow

FRACTIONS = [0.9, 0.0, 0.3, 0.6, 0.99, 0.9999, 1 - 1e-7]


def test_first_integrals_hold_along_the_whole_way():
    layers = gaussian(1, 3, 4)
    on_the_way = State(*states_at_fractions(layers, FRACTIONS).layers)
    start = first_integrals(State(*layers))
    size = sum((layer.reshape(len(FRACTIONS), -1) ** 2).sum(axis=1) for layer in on_the_way)
    all_integrals = [first_integrals(State(*state)) for state in zip(*on_the_way, strict=True)]
    for now, then in zip(map(np.array, zip(*all_integrals, strict=True)), start, strict=True):
        drift = np.abs(now - then).max(axis=(1, 2))
        assert (drift < 1e-9 * size).all()
        # Until the state itself has grown too large to hold them in double precision.
        assert (drift[:4] < 1e-9 * np.abs(then).max()).all()


def test_states_agree_with_an_independent_integration_in_plain_time():
    m2, m1 = 3, 4
    a, W2, b = gaussian(1, m2, m1)

    def field(t, y):
        a, W2, b = y[:m2], y[m2:-m1].reshape(m2, m1), y[-m1:]
        return np.concatenate([W2 @ b, np.outer(a, b).ravel(), W2.T @ a])

    trajectory = states_at_fractions((a, W2, b), [0.99, 0.2, 0.7])
    order = np.argsort(trajectory.times)
    start = np.concatenate([a, W2.ravel(), b])
    end = float(trajectory.times.max())
    plain = solve_ivp(field, (0, end), start, t_eval=trajectory.times[order], method="DOP853", rtol=1e-13, atol=1e-13)
    for step, index in enumerate(order):
        state = np.concatenate([np.ravel(layer[index]) for layer in trajectory.layers])
        np.testing.assert_allclose(state, plain.y[:, step], atol=1e-9 * np.linalg.norm(state))


def test_times_and_fractions_are_the_same_states():
    layers = gaussian(1, 3, 4)
    end = float(blowup_time(*layers).estimate)
    fractions = np.array([0.2, 0.5, 0.7])
    by_fraction, by_time = states_at_fractions(layers, fractions), states_at_times(layers, fractions * end)
    for one, other in zip(by_fraction.layers, by_time.layers, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def decaying():
    """``a = -1 / (1 + t)`` and ``W2 = b = 1 / (1 + t)`` in the first neurons; of the shape that is compiled anyway."""
    outer, inner = np.eye(3)[0], np.eye(4)[0]
    return -outer, np.outer(outer, inner), inner


def test_a_state_that_decays_is_followed_as_long_as_asked():
    times = np.array([0.0, 10.0, 1e3])
    for found, start in zip(states_at_times(decaying(), times).layers, decaying(), strict=True):
        np.testing.assert_allclose(found, np.multiply.outer(1 / (1 + times), start), rtol=1e-9)


@pytest.mark.parametrize("fractions", [[-0.1], [1.0], [np.nan], [], 0.5])
def test_fractions_out_of_range_are_refused(fractions):
    with pytest.raises(SpecError, match="fractions"):
        states_at_fractions(gaussian(1, 3, 4), fractions)


def test_an_ensemble_has_no_trajectory():
    with pytest.raises(ArchitectureError, match="trajectories are of one state"):
        states_at_fractions([np.stack([layer, layer]) for layer in gaussian(1, 3, 4)], [0.5])


def test_times_beyond_the_blow_up_and_fractions_of_none_are_refused():
    with pytest.raises(SpecError, match="blow-up time"):
        states_at_times(gaussian(1, 3, 4), [0.1, 100.0])
    with pytest.raises(SpecError, match="does not blow up"):
        states_at_fractions(decaying(), [0.5])
