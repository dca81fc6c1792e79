"""The effective dynamics: its field is the gradient of its energy, and what it conserves it conserves."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given

from nucleate import devices
from nucleate.theory import State, energy, first_integrals, vector_field
from nucleate.theory.modes import Frames, frames, in_modes, modes_energy, modes_vector_field
from tests.theory.states import gaussian, states


def square_norm(tree):
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree))


@given(states(exponents=(0, 0)))
@devices.in_float64
def test_the_field_is_the_gradient_of_the_energy(layers):
    state = State(*layers)
    for field, gradient in zip(vector_field(state), jax.grad(energy)(state), strict=True):
        np.testing.assert_allclose(field, gradient, rtol=1e-12, atol=1e-12)


@given(states(exponents=(0, 0)))
@devices.in_float64
def test_along_the_field_energy_grows_by_its_square_and_size_by_six_energies(layers):
    state = State(*layers)
    field = vector_field(state)
    scale = float(square_norm(state)) ** 2
    _, dE = jax.jvp(energy, (state,), (field,))
    _, dN = jax.jvp(square_norm, (state,), (field,))
    np.testing.assert_allclose(dE, square_norm(field), rtol=1e-12, atol=1e-14 * scale)
    np.testing.assert_allclose(dN, 6 * energy(state), rtol=1e-12, atol=1e-12 * scale)


@given(states(exponents=(0, 0)))
@devices.in_float64
def test_along_the_field_the_first_integrals_stay(layers):
    state = State(*layers)
    _, change = jax.jvp(first_integrals, (state,), (vector_field(state),))
    for leaf in change:
        np.testing.assert_allclose(leaf, 0, atol=1e-12 * float(square_norm(state)) ** 1.5)


@given(states(exponents=(0, 0)))
@devices.in_float64
def test_energy_grows_at_least_like_its_power_four_thirds_and_is_bounded_by_size(layers):
    state = State(*layers)
    E, N = float(energy(state)), float(square_norm(state))
    assert E <= (N / 3) ** 1.5 * (1 + 1e-12)
    if E > 0:
        assert float(square_norm(vector_field(state))) >= 3 * E ** (4 / 3) * (1 - 1e-12)


@given(states(exponents=(0, 0)))
@devices.in_float64
def test_the_modes_move_as_the_state_does(layers):
    # x_i'' = (|x|^2 + k_i) x_i: the accelerations of a and b, by differentiating the field along itself.
    state = State(*layers)
    field = vector_field(state)
    _, acceleration = jax.jvp(vector_field, (state,), (field,))
    size = np.sqrt(square_norm(state) / 3)
    outer, outer_vectors, inner, inner_vectors = frames(layers)
    start, stiffness = in_modes(state, Frames(size**2 * outer, outer_vectors, size**2 * inner, inner_vectors))
    moving = modes_vector_field(start, stiffness)
    N = float(square_norm(state))
    np.testing.assert_allclose(modes_energy(start), energy(state), atol=1e-13 * N**1.5)
    assert np.isclose(jnp.sum(moving.position**2), jnp.sum(field.a**2) + jnp.sum(field.b**2), rtol=1e-10)
    by_layer = (moving.velocity[:2], moving.velocity[2:])
    for as_modes, directly in zip(by_layer, (acceleration.a, acceleration.b), strict=True):
        np.testing.assert_allclose(jnp.linalg.norm(as_modes), jnp.linalg.norm(directly), atol=1e-12 * N**1.5)


@devices.in_float64
def test_ensembles_by_vmap():
    ensemble = State(*(np.stack(layers) for layers in zip(*(gaussian(seed, 4, 3) for seed in range(5)), strict=True)))
    np.testing.assert_allclose(jax.vmap(energy)(ensemble)[2], energy(State(*(layer[2] for layer in ensemble))))
