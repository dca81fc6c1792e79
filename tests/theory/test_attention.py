"""Attention from a small start, held against autodiff of real attention and the integrated flow of all parameters."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from nucleate import ArchitectureError, SpecError, devices
from nucleate.theory import (
    attention_stage,
    blowup_time,
    key_query_moment,
    path_moment,
    rank_collapse,
    settled_map,
    two_layer_solution,
    uniform_attention,
)

EACH_MASK = pytest.mark.parametrize("causal", [False, True], ids=["sees all", "causal"])
EACH_READOUT = pytest.mark.parametrize("every", [False, True], ids=["last position", "every position"])


def attend(p, X, causal):
    """The real thing: softmax attention, written independently of what is tested."""
    logits = (X @ p["Q"]) @ jnp.swapaxes(X @ p["K"], 1, 2) / p["Q"].shape[1] ** 0.5
    if causal:
        logits = jnp.where(np.tril(np.ones(logits.shape[1:])) > 0, logits, -jnp.inf)
    return jax.nn.softmax(logits, axis=-1) @ X @ p["V"]


def outputs(p, X, causal, *, residual=False, activation=jnp.tanh):
    stream = attend(p, X, causal)
    return activation((stream + X if residual else stream) @ p["W1"]) @ p["W2"]


def loss(p, X, y, causal, **settings):
    f = outputs(p, X, causal, **settings)
    return jnp.sum(((f if y.ndim == 3 else f[:, -1]) - y) ** 2) / 2 / len(X)


slope_of_loss = jax.jit(jax.grad(loss), static_argnames=("causal", "residual", "activation"))


def gradient(p, X, y, causal, **settings):
    with devices.float64():
        return jax.tree.map(np.asarray, slope_of_loss(p, jnp.asarray(X), jnp.asarray(y), causal=causal, **settings))


def straight(z):
    return z


def draw(seed=0, d=3, d_v=3, m=4, c=1, d_k=2):
    rng = np.random.default_rng(seed)
    shapes = {"Q": (d, d_k), "K": (d, d_k), "V": (d, d_v), "W1": (d_v, m), "W2": (m, c)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def data(every=False, c=1, seed=0, n=12, s=4, d=3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, s, d)), rng.standard_normal((n, s, c) if every else (n, c))


def scaled(p, eps):
    return {name: eps * matrix for name, matrix in p.items()}


def distance(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_a_position_takes_the_mean_of_what_it_sees():
    np.testing.assert_allclose(uniform_attention(3), np.full((3, 3), 1 / 3))
    np.testing.assert_allclose(uniform_attention(3, causal=True), [[1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3])


@EACH_MASK
@EACH_READOUT
@pytest.mark.parametrize("c", [1, 2])
def test_the_gradient_is_that_of_a_deep_linear_network_of_averaged_tokens_to_second_order(causal, every, c):
    X, y = data(every, c)
    p, errors = draw(c=c), []
    M = path_moment(X, y, causal=causal)
    for eps in (0.001, 0.0005):
        at = scaled(p, eps)
        found = gradient(at, X, y, causal)
        V, W1, W2 = at["V"], at["W1"], at["W2"]
        expected = {"V": M.T @ (W1 @ W2).T, "W1": V.T @ M.T @ W2.T, "W2": (V @ W1).T @ M.T}
        errors.append(max(distance(-found[name], expected[name]) for name in expected))
    assert errors[0] < 0.02
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


@EACH_MASK
@EACH_READOUT
def test_keys_and_queries_are_moved_by_f_and_two_orders_less(causal, every):
    X, y = data(every, 2)
    p, errors, sizes = draw(c=2), [], []
    for eps in (0.02, 0.01):
        at = scaled(p, eps)
        found = gradient(at, X, y, causal)
        # To leading order the residuals are the targets, also where nothing has settled.
        pull = y @ (at["V"] @ at["W1"] @ at["W2"]).T
        F = key_query_moment(X, pull, causal=causal) / 2**0.5
        errors.append(max(distance(-found["Q"], F @ at["K"]), distance(-found["K"], F.T @ at["Q"])))
        sizes.append(np.linalg.norm(found["Q"]) / np.linalg.norm(found["V"]))
    assert errors[0] < 0.02
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)
    assert sizes[0] / sizes[1] == pytest.approx(4, rel=0.05)


@EACH_MASK
def test_a_residual_stream_adds_the_direct_path_of_lower_degree(causal):
    X, y = data(every=True)
    p, errors, shares = draw(), [], []
    M0, M1 = (path_moment(X, y, blocks=blocks, causal=causal) for blocks in (0, 1))
    for eps in (0.02, 0.01):
        at = scaled(p, eps)
        found = gradient(at, X, y, causal, residual=True, activation=straight)
        W1, W2 = at["W1"], at["W2"]
        direct, through = M0.T @ W2.T, at["V"].T @ M1.T @ W2.T
        errors.append(distance(-found["W1"] - direct, through))
        shares.append(np.linalg.norm(through) / np.linalg.norm(direct))
        assert distance(-found["V"], M1.T @ (W1 @ W2).T) < 0.02
    # The quadratic part of the loss is of the same degree as what is left beyond both paths.
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert shares[0] / shares[1] == pytest.approx(2)


def test_a_direct_path_that_says_nothing_leaves_the_lead_to_attention():
    X, y = data(n=40)
    query = X[:, -1]
    y = y - query @ np.linalg.lstsq(query, y, rcond=None)[0]
    np.testing.assert_allclose(path_moment(X, y, blocks=0), 0, atol=1e-12)
    found = gradient(scaled(draw(), 0.01), X, y, False, residual=True, activation=straight)
    through = scaled(draw(), 0.01)
    assert distance(-found["V"], path_moment(X, y).T @ (through["W1"] @ through["W2"]).T) < 0.02


def test_a_trained_embedding_is_one_more_matrix_of_one_hot_tokens():
    rng = np.random.default_rng(0)
    ids, y, E, P = (
        rng.integers(0, 5, (10, 4)),
        rng.standard_normal((10, 1)),
        *(rng.standard_normal((k, 3)) for k in (5, 4)),
    )
    rows = np.concatenate([np.eye(5)[ids], np.broadcast_to(np.eye(4), (10, 4, 4))], axis=2)
    with_positions = path_moment(rows, y) @ np.concatenate([E, P])
    np.testing.assert_allclose(with_positions, path_moment(E[ids] + P, y))


def test_tied_embeddings_grow_along_the_symmetric_part_of_the_direct_moment():
    rng = np.random.default_rng(0)
    M = rng.standard_normal((4, 4))
    rates, axes = np.linalg.eigh(M + M.T)
    E = 1e-3 * rng.standard_normal((3, 4))
    flow = solve_ivp(lambda _, e: (e.reshape(3, 4) @ (M + M.T)).ravel(), (0, 2), E.ravel(), rtol=1e-9, atol=1e-14)
    with devices.float64():
        slope = jax.grad(lambda e: jnp.sum((e.T @ e) * M))(jnp.asarray(E))
    np.testing.assert_allclose(slope, E @ (M + M.T), rtol=1e-9)
    np.testing.assert_allclose(
        flow.y[:, -1].reshape(3, 4), E @ (axes * np.exp(2 * rates)) @ axes.T, rtol=1e-5, atol=1e-9
    )


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_the_stage_has_the_energy_of_the_linear_network(seed, d_v, m, causal):
    X, y = data(seed=seed)
    p, M = draw(seed, d_v=d_v, m=m), path_moment(X, y, causal=causal)
    stage = attention_stage(p["V"], p["W1"], p["W2"], M)
    a, W2, b = stage.state
    averaged = (uniform_attention(4, causal=causal) @ X)[:, -1]
    correlation = np.mean(y * (averaged @ p["V"] @ p["W1"] @ p["W2"]))
    assert stage.kappa * (a @ W2 @ b) == pytest.approx(correlation)
    np.testing.assert_allclose(b**2 + stage.orthogonal**2, np.linalg.norm(p["V"], axis=0) ** 2, rtol=1e-9, atol=1e-12)


def flat(p):
    return np.concatenate([matrix.ravel() for matrix in p.values()])


def shaped(vector, like):
    ends = np.cumsum([matrix.size for matrix in like.values()])[:-1]
    return {name: part.reshape(like[name].shape) for name, part in zip(like, np.split(vector, ends), strict=True)}


def integrate(p, X, y, until, causal=False, at=None):
    """The gradient flow of all parameters of the real model."""
    with devices.float64():
        X, y = jnp.asarray(X), jnp.asarray(y)
        slope = jax.jit(jax.grad(lambda vector: loss(shaped_traced(vector, p), X, y, causal, activation=lambda z: z)))
        return solve_ivp(
            lambda _, vector: -np.asarray(slope(vector)),
            (0, until),
            flat(p),
            method="DOP853",
            rtol=1e-7,
            atol=1e-11,
            t_eval=at,
        )


def shaped_traced(vector, like):
    parts, begin = {}, 0
    for name, matrix in like.items():
        parts[name] = vector[begin : begin + matrix.size].reshape(matrix.shape)
        begin += matrix.size
    return parts


@pytest.mark.slow
def test_the_plateau_of_the_real_flow_ends_at_the_blow_up_time_of_three_layers():
    X, y = data(n=30)
    errors = []
    for eps in (0.016, 0.004):
        p = scaled(draw(2), eps)
        stage = attention_stage(p["V"], p["W1"], p["W2"], path_moment(X, y))
        expected = blowup_time(*stage.state)
        end = float(expected.estimate) / stage.kappa
        times = np.linspace(0.7, 1.2, 1001) * end
        columns = integrate(p, X, y, times[-1], at=times).y.T
        V, W1, W2 = (np.stack([shaped(column, p)[name] for column in columns]) for name in ("V", "W1", "W2"))
        # Attention is still even here, as other tests say.
        losses = np.mean((y - X.mean(axis=1) @ V @ W1 @ W2) ** 2, axis=(1, 2))
        nothing, best = np.mean(y**2), np.mean((y - X.mean(axis=1) @ settled_map(X, y)) ** 2)
        fallen = losses < nothing - 0.1 * (nothing - best)
        assert not fallen[0]
        errors.append(1 - times[np.argmax(fallen)] / end)
    assert 0 < errors[1] < 0.02
    # A time of order one is missing of a plateau as long as one over the scale.
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)


@pytest.mark.parametrize(("blocks", "causal"), [(2, False), (3, True)])
def test_several_blocks_settle_at_the_least_squares_of_tokens_averaged_as_often(blocks, causal):
    draw = np.random.default_rng(5).standard_normal
    X, y = draw((40, 4, 3)), draw((40, 4, 2))
    averaged = X
    for _ in range(blocks):
        seen = [averaged[:, : place + 1] if causal else averaged for place in range(4)]
        averaged = np.stack([tokens.mean(axis=1) for tokens in seen], axis=1)
    rows, targets = averaged.reshape(-1, 3), y.reshape(-1, 2)
    settled = settled_map(X, y, blocks=blocks, causal=causal)
    # The equations of least squares; averages that see every token are the same at all positions.
    np.testing.assert_allclose(rows.T @ (rows @ settled - targets), 0, atol=1e-12)


def settled_start(X, p_star, size=1.0):
    """Layers of rank one whose product is the settled map."""
    length = np.linalg.norm(p_star)
    ones = np.ones(3) / 3**0.5
    V = np.outer(p_star[:, 0] / length, ones) * length ** (1 / 3)
    return {"V": V, "W1": np.outer(ones, ones) * length ** (1 / 3), "W2": ones[:, None] * length ** (1 / 3)}


def attention_data(n=30, seed=3):
    """Targets that uniform averaging can only partly fit."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4, 3))
    teacher = {"Q": 1.5 * rng.standard_normal((3, 2)), "K": 1.5 * rng.standard_normal((3, 2)), "V": np.eye(3)}
    with devices.float64():
        y = np.asarray(attend(teacher, jnp.asarray(X), False)[:, -1] @ rng.standard_normal((3, 1)))
    return X, y


def test_from_the_settled_state_keys_and_queries_follow_the_closed_form():
    X, y = attention_data()
    p_star = settled_map(X, y)
    residuals = y - X.mean(axis=1) @ p_star
    F = key_query_moment(X, residuals @ p_star.T) / 2**0.5
    rng, errors = np.random.default_rng(0), []
    drawn = {name: rng.standard_normal((3, 2)) for name in ("Q", "K")}
    for eps in (1e-2, 5e-3):
        p = {name: eps * matrix for name, matrix in drawn.items()} | settled_start(X, p_star)
        found = rank_collapse(p["Q"], p["K"], F)
        end = shaped(integrate(p, X, y, found.doubled).y[:, -1], p)
        (K,), (Q,) = two_layer_solution([p["K"].T, p["Q"]], F, [found.doubled])
        grown = np.linalg.norm([end["Q"], end["K"]]) / np.linalg.norm([p["Q"], p["K"]])
        assert grown == pytest.approx(2, rel=1e-2)
        errors.append(distance(np.concatenate([end["Q"], end["K"]]), np.concatenate([Q, np.asarray(K).T])))
    assert errors[0] < 0.01
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)


def test_keys_and_queries_collapse_onto_the_predicted_directions():
    X, y = attention_data()
    p_star = settled_map(X, y)
    F = key_query_moment(X, (y - X.mean(axis=1) @ p_star) @ p_star.T) / 2**0.5
    rng = np.random.default_rng(1)
    p = {name: 1e-4 * rng.standard_normal((3, 2)) for name in ("Q", "K")} | settled_start(X, p_star)
    found = rank_collapse(p["Q"], p["K"], F)
    time = 4 / found.rate
    end = shaped(integrate(p, X, y, time).y[:, -1], p)
    expected = np.exp(found.rate * time) * np.linalg.norm(found.shared)
    for matrix, direction in ((end["Q"], found.query), (end["K"], found.key)):
        left, values, right = np.linalg.svd(matrix)
        share = np.exp(-(1 - found.gap) * found.rate * time)
        assert values[1] / values[0] < 10 * share
        assert abs(left[:, 0] @ direction) > 0.99
        assert abs(right[0] @ found.shared) > 0.99 * np.linalg.norm(found.shared)
        assert values[0] == pytest.approx(expected, rel=0.1)


def test_the_first_stage_settles_at_least_squares_of_the_averaged_tokens():
    X, y = data(n=3, d=3)
    X[:, :, 2] = X[:, :, 0]
    p = scaled(draw(2), 1e-2)
    stage = attention_stage(p["V"], p["W1"], p["W2"], path_moment(X, y))
    until = 3 * float(blowup_time(*stage.state).estimate) / stage.kappa
    p = {name: p[name] if name in ("V", "W1", "W2") else 0 * p[name] for name in p}
    end = shaped(integrate(p, X, y, until).y[:, -1], p)
    # Of the two coordinates that are always the same it takes both alike: the solution of the smallest norm.
    assert distance(end["V"] @ end["W1"] @ end["W2"], settled_map(X, y)) < 0.02


@given(st.integers(0, 1000), st.integers(1, 4))
def test_growth_is_that_of_the_whole_matrices(seed, d_k):
    rng = np.random.default_rng(seed)
    Q, K, F = rng.standard_normal((3, d_k)), rng.standard_normal((3, d_k)), rng.standard_normal((3, 3))
    found = rank_collapse(Q, K, F)
    (K_t,), (Q_t,) = two_layer_solution([K.T, Q], F, [found.doubled])
    grown = np.sum(np.square(K_t)) + np.sum(np.square(Q_t))
    assert grown == pytest.approx(4 * (np.sum(Q**2) + np.sum(K**2)), rel=1e-6)
    np.testing.assert_allclose(F @ found.key, found.rate * found.query, atol=1e-9)


@pytest.mark.parametrize(("Q", "K"), [([[0.0], [1.0]], [[0.0], [1.0]]), ([[1.0], [1.0]], [[-1.0], [1.0]])])
def test_where_the_leading_pair_does_not_grow_another_one_doubles_the_norm(Q, K):
    F = np.diag([2.0, 0.05])
    found = rank_collapse(Q, K, F)
    (K_t,), (Q_t,) = two_layer_solution([np.transpose(K), Q], F, [found.doubled])
    start = np.sum(np.square(K)) + np.sum(np.square(Q))
    assert np.sum(np.square(K_t)) + np.sum(np.square(Q_t)) == pytest.approx(4 * start, rel=1e-6)


def test_without_a_pull_nothing_grows():
    rest = rank_collapse(np.ones((2, 1)), np.ones((2, 1)), np.zeros((2, 2)))
    assert (rest.rate, rest.gap, rest.doubled) == (0.0, 0.0, np.inf)
    # One token is all that attention can look at.
    assert not key_query_moment(np.ones((3, 1, 2)), np.ones((3, 2))).any()


REFUSED = {
    "a position too few": (lambda: path_moment(np.ones((2, 3, 1)), np.ones((2, 2, 1))), ArchitectureError, "(2, 2, 1)"),
    "no numbers": (lambda: path_moment(np.full((1, 1, 1), np.nan), [[1.0]]), ArchitectureError, "NaN"),
    "half a block": (lambda: path_moment(np.ones((1, 1, 1)), [[1.0]], blocks=0.5), SpecError, "0.5"),
    "no tokens": (lambda: uniform_attention(0), SpecError, "0"),
    "two outputs": (
        lambda: attention_stage(np.ones((2, 1)), np.ones((1, 1)), np.ones((1, 2)), np.ones((2, 2))),
        ArchitectureError,
        "linear_blowup_time",
    ),
    "no direction": (
        lambda: attention_stage(*itertools.repeat(np.ones((1, 1)), 3), np.zeros((1, 1))),
        ArchitectureError,
        "zero",
    ),
    "another pull": (lambda: key_query_moment(np.ones((1, 2, 3)), np.ones((1, 2))), ArchitectureError, "2 coordinates"),
    "other keys": (
        lambda: rank_collapse(np.ones((2, 1)), np.ones((2, 2)), np.ones((2, 2))),
        ArchitectureError,
        "do not fit",
    ),
}


@pytest.mark.parametrize(("call", "error", "says"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_said(call, error, says):
    with pytest.raises(error, match=says.replace("(", r"\(").replace(")", r"\)")):
        call()
