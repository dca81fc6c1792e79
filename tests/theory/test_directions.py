"""Target directions: known in closed form for linear leading parts and quadratic forms, kinks and all for ReLU."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import expit

from nucleate import InitScale, Network
from nucleate.theory import target_directions

pytestmark = pytest.mark.slow

SCALE = InitScale("epsilon", 1e-3)
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((30, 4)), RNG.standard_normal((30, 3))


def network_of(activation, outputs, hidden=(5,), bias=False):
    return Network.create(4, hidden, outputs, scale=SCALE, activation=activation, bias=bias)


def test_one_output_turns_to_the_mean_of_the_products():
    u = (Y[:, :1] * X).mean(axis=0)
    found = target_directions(network_of("tanh", 1, (5, 5)), X, Y[:, :1])
    np.testing.assert_allclose(found.directions, [u / np.linalg.norm(u)], rtol=1e-12)
    np.testing.assert_allclose(found.values, [np.linalg.norm(u)])


def test_several_outputs_turn_to_the_top_right_singular_vector():
    found = target_directions(network_of("tanh", 3), X, Y)
    _, values, right = np.linalg.svd(Y.T @ X / len(X))
    assert abs(found.directions[0] @ right[0]) == pytest.approx(1.0)
    np.testing.assert_allclose(found.values, values[:1])


def test_a_value_at_zero_leaves_the_directions_as_they_are():
    residuals = Y - Y.mean(axis=0)
    plain, shifted = (target_directions(network_of(name, 3), X, residuals) for name in ("sigmoid", "sigmoid_shifted"))
    np.testing.assert_array_equal(plain.directions, shifted.directions)
    np.testing.assert_array_equal(plain.values, shifted.values)


@pytest.mark.parametrize(
    ("activate", "slope"),
    [(expit, lambda z: expit(z) * expit(-z)), (lambda z: np.logaddexp(z, 0), expit)],
    ids=["sigmoid", "softplus"],
)
def test_under_a_value_at_zero_outgoing_weights_lose_their_sum_and_neurons_turn_to_the_target(activate, slope):
    x, y = X - X.mean(axis=0), Y[:, 0] - Y[:, 0].mean()
    u = (y[:, None] * x).mean(axis=0)
    target = u / np.linalg.norm(u)
    start = 1e-5 * np.random.default_rng(1).standard_normal(12 * 5)

    # Gradient flow of the true squared loss, written out by hand.
    def field(_, flat):
        W, a = flat[:48].reshape(12, 4), flat[48:]
        z = x @ W.T
        error = activate(z) @ a - y
        return -np.concatenate([((error[:, None] * slope(z) * a).T @ x / len(x)).ravel(), error @ activate(z) / len(x)])

    def grown(_, flat):
        return np.linalg.norm(flat[:48]) - 20 * np.linalg.norm(start[:48])

    grown.terminal = True
    end = solve_ivp(field, (0, 1000), start, method="DOP853", events=grown, rtol=1e-9, atol=1e-16).y[:, -1]
    W, a = end[:48].reshape(12, 4), end[48:]
    assert abs(a.sum()) < 1e-3 * np.abs(a).sum()
    moved = W - start[:48].reshape(12, 4)
    assert np.linalg.norm(moved - np.outer(moved @ target, target)) < 1e-3 * np.linalg.norm(moved)


def test_a_bias_of_the_first_layer_is_one_more_coordinate():
    found = target_directions(network_of("tanh", 1, bias=[True, False]), X, Y[:, :1])
    u = (Y[:, :1] * np.column_stack([X, np.ones(30)])).mean(axis=0)
    np.testing.assert_allclose(found.directions, [u / np.linalg.norm(u)], rtol=1e-12)


def test_multiplicity_two_has_two_axes_the_ends_of_a_quadratic_form():
    # w^T Q w on the sphere: four maxima of its modulus, two up to sign, when Q is indefinite.
    found = target_directions(network_of("xtanh", 1), X, Y[:, :1])
    values, vectors = np.linalg.eigh((X * Y[:, :1]).T @ X / len(X))
    ends = np.argsort(-np.abs(values[[0, -1]]))
    np.testing.assert_allclose(found.values, np.abs(values[[0, -1]][ends]), rtol=1e-9)
    cosines = np.abs(np.sum(found.directions * vectors[:, [0, -1]].T[ends], axis=1))
    np.testing.assert_allclose(cosines, 1.0, rtol=1e-9)


def test_relu_directions_are_maxima_and_scarce():
    found = target_directions(network_of("relu", 1), X, Y[:, :1])

    def height(w):
        return abs((np.maximum(X @ w, 0) * Y[:, 0]).mean())

    assert 2 <= len(found.values) <= 16
    for w, value in zip(found.directions, found.values, strict=True):
        assert height(w) == pytest.approx(value)
        for nearby in w + 1e-3 * RNG.standard_normal((50, 4)):
            assert height(nearby / np.linalg.norm(nearby)) <= value * (1 + 1e-6)


def test_the_direction_of_one_data_point_is_that_point():
    x = np.array([[3.0, 0.0, 4.0, 0.0]])
    for activation in ("tanh", "relu", "xtanh"):
        found = target_directions(network_of(activation, 1), x, [[2.0]])
        np.testing.assert_allclose(np.abs(found.directions), [[0.6, 0.0, 0.8, 0.0]], atol=1e-6)


def near_a_ray(depth, pair, epsilon, off):
    """A balanced rank-one start along one pair of singular vectors, with a share ``off`` of the other."""
    ends = np.where(np.arange(2) == pair, 1.0, off)
    hidden = np.array([0.6, 0.8])
    first, last = np.outer(hidden, ends), np.outer(ends, hidden)
    return [epsilon * layer for layer in (first, *[np.outer(hidden, hidden)] * (depth - 2), last)]


def grown(weights, moment):
    """Plain gradient ascent on <W_L ... W_1, M> in NumPy until the first layer has size 1."""
    shapes = [weight.shape for weight in weights]

    def unpack(flat):
        return [part.reshape(2, 2) for part in flat.reshape(len(shapes), -1)]

    def field(_, flat):
        layers, slopes = unpack(flat), []
        for at in range(len(layers)):
            product = moment
            for after in layers[:at:-1]:
                product = after.T @ product
            for before in layers[:at]:
                product = product @ before.T
            slopes.append(product)
        slopes = np.array(slopes)
        # Time is rescaled so that the size grows exponentially at every depth.
        return (slopes / np.linalg.norm(layers[0]) ** (len(layers) - 2)).ravel()

    def done(_, flat):
        return np.linalg.norm(unpack(flat)[0]) - 1

    done.terminal = True
    start = np.array(weights).ravel()
    solution = solve_ivp(field, (0, 100), start, method="DOP853", events=done, rtol=1e-11, atol=1e-16)
    return unpack(solution.y[:, -1])[0]


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("second", [0.5, 0.84])
def test_near_the_second_pair_the_first_gains_epsilon_to_the_power_one_less_the_ratio(depth, second):
    scales, moment = np.array([1e-2, 1e-3, 1e-4]), np.diag([1.0, second])
    gains = []
    for epsilon in scales:
        first = grown(near_a_ray(depth, 1, epsilon, 1e-9), moment)
        gains.append(np.linalg.norm(first[:, 0]) / np.linalg.norm(first[:, 1]) / 1e-9)
    slope = -np.polyfit(np.log(scales), np.log(gains), 1)[0]
    assert slope == pytest.approx(1 / second - 1, rel=0.02)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_near_the_first_pair_the_second_loses_epsilon_to_the_power_one_less_the_inverse_ratio(depth):
    scales, moment = np.array([1e-2, 1e-3, 1e-4]), np.diag([1.0, 0.84])
    left = []
    for epsilon in scales:
        first = grown(near_a_ray(depth, 0, epsilon, 1e-6), moment)
        left.append(np.linalg.norm(first[:, 1]) / np.linalg.norm(first[:, 0]))
    assert np.polyfit(np.log(scales), np.log(left), 1)[0] == pytest.approx(1 - 0.84, rel=0.02)
