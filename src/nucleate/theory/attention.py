"""Attention from a small start: uniform averaging first, then keys and queries that collapse to rank one.

At small parameters the logits are of second order, so a softmax averages evenly over what it sees. What is left is a
deep linear network of the averaged tokens, to which `nucleate.theory.linear` and the effective dynamics apply as they
stand. Once it has settled, keys and queries move by a linear flow: two layers under a moment ``F``. The two stages are
due to Chen and Luo (arXiv 2510.06954); averages under a mask, residual streams, several outputs, and the closed form of
the second stage are derived here, in docs/theory.md. Tokens are rows, as in the literature: ``X W_V W_1 W_2``.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float
from scipy.optimize import brentq

from nucleate._arrays import is_whole
from nucleate.errors import ArchitectureError, SpecError
from nucleate.theory import checks
from nucleate.theory.condition import split_first_layer
from nucleate.theory.effective import State


class AttentionStage(NamedTuple):
    """The first stage as the effective dynamics of three layers, in time units of ``1 / kappa``.

    Attributes
    ----------
    state : State
        ``a = W_2``, ``W2 = W_1^T`` and ``b = W_V^T v``.
    orthogonal : array of shape (d_v,)
        The norms of the parts of the columns of ``W_V`` orthogonal to ``v``, which do not move.
    kappa : float
    direction : array of shape (d,)
        ``v``: the columns of ``W_V`` turn to it or its opposite.
    """

    state: State
    orthogonal: Float[np.ndarray, " d_v"]
    kappa: float
    direction: Float[np.ndarray, " d"]


class RankCollapse(NamedTuple):
    """How keys and queries grow: ``W_Q ~ e^(rate t) query z^T``, ``W_K ~ e^(rate t) key z^T``.

    Attributes
    ----------
    rate : float
        The largest singular value of ``F``: growth per time of the gradient flow.
    gap : float
        The second as a share of the first. The second direction falls behind as ``e^(-(1 - gap) rate t)``; near 1
        neither is singled out.
    query, key : arrays of shape (d,)
        The leading left and right singular vectors of ``F``, to which those of ``W_Q`` and ``W_K`` turn, up to sign.
    shared : array of shape (d_k,)
        ``z``, the right singular direction that both come to share; not normalized.
    doubled : float
        The time at which the norms of both together will have doubled; infinite where they never do.
    """

    rate: float
    gap: float
    query: Float[np.ndarray, " d"]
    key: Float[np.ndarray, " d"]
    shared: Float[np.ndarray, " d_k"]
    doubled: float


def uniform_attention(length: int, *, causal: bool = False) -> Float[np.ndarray, "s s"]:
    """What attention with small keys and queries does: each position takes the mean of what it sees.

    Chen and Luo, arXiv 2510.06954; under a causal mask: here, docs/theory.md.

    Parameters
    ----------
    length : int
        Tokens in a sequence.
    causal : bool
        Whether a position sees only itself and those before it.

    Returns
    -------
    array of float64, shape (s, s)

    Raises
    ------
    SpecError
        For a length that is no whole number from 1 on.

    Examples
    --------
    >>> uniform_attention(2, causal=True)
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    if not is_whole(length) or length < 1:
        raise SpecError(f"The length of a sequence is {length!r:.60}; it must be a whole number from 1 on.")
    seen = np.tril(np.ones((length, length))) if causal else np.ones((length, length))
    return seen / seen.sum(axis=1, keepdims=True)


def path_moment(
    tokens: ArrayLike, residuals: ArrayLike, *, blocks: int = 1, causal: bool = False
) -> Float[np.ndarray, "c d"]:
    """The moment ``M_k = (1/n) sum_i sum_j r_ij (A^k X_i)_j^T`` of the paths through k attention blocks.

    To leading order the matrices along such a path are a deep linear network with this moment. In a residual stream of
    B blocks there are paths through 0, ..., B of them; without one all paths go through every block. The path of fewest
    matrices whose moment is not zero leads (derived here, docs/theory.md).

    Parameters
    ----------
    tokens : array of shape (n, s, d)
        Fixed vectors; for a trained embedding one-hot rows, with those of the positions appended where positions are
        embedded too. The embedding is then one more matrix of the path.
    residuals : array of shape (n, c) or (n, s, c)
        Minus the derivative of each row's loss by the outputs, at outputs of zero: of those at the last position, or
        at every one. For outputs that are a mean over the positions, repeat ``r_i / s`` at each.
    blocks : int
        k; 0 is the direct path of a residual stream.
    causal : bool

    Returns
    -------
    array of float64, shape (c, d)

    Raises
    ------
    ArchitectureError
        For shapes that do not fit, NaN or infinity.
    SpecError
        For a number of blocks that is no whole number from 0 on.

    Examples
    --------
    >>> tokens = np.array([[[2.0, 0.0], [0.0, 4.0]]])
    >>> path_moment(tokens, [[1.0]])
    array([[1., 2.]])
    >>> path_moment(tokens, [[1.0]], blocks=0)
    array([[0., 4.]])
    """
    X, r = _sequences(tokens, residuals, "The residuals")
    averaging = _averaging(X.shape[1], blocks, causal)
    return np.einsum("ijc,jk,ikd->cd", r, averaging, X) / len(X)


def attention_stage(values: ArrayLike, inner: ArrayLike, outer: ArrayLike, moment: ArrayLike) -> AttentionStage:
    """One attention layer and two layers behind it as the effective dynamics of three layers, for one output.

    Chen and Luo, arXiv 2510.06954, for the dynamics; that they are those of a three-layer network, so that blow-up
    times, certificates and first integrals hold as they stand: here, docs/theory.md. Heads stand side by side as the
    columns of one ``W_V``. For several outputs, more layers or a trained embedding give the matrices to
    `nucleate.theory.linear_blowup_time`, each transposed and the first one first.

    Parameters
    ----------
    values, inner, outer : arrays of shape (d, d_v), (d_v, m), (m, 1)
        ``W_V``, ``W_1`` and ``W_2`` of ``softmax(...) X W_V W_1 W_2``.
    moment : array of shape (1, d)
        From `path_moment`, times the slopes at zero of the activations between.

    Returns
    -------
    AttentionStage
        ``blowup_time(*stage.state).estimate / stage.kappa`` is the blow-up time in the time of training.

    Raises
    ------
    ArchitectureError
        For shapes that do not fit, NaN or infinity, several outputs, or a moment of zero, which has no direction.

    Examples
    --------
    >>> from nucleate.theory import blowup_time
    >>> one = np.ones((1, 1))
    >>> stage = attention_stage(one, one, one, [[2.0]])
    >>> round(float(blowup_time(*stage.state).estimate) / stage.kappa, 8)
    0.5
    """
    names = ("W_V", "W_1", "W_2")
    matrices = [checks.finite(name, given, rank=2) for name, given in zip(names, (values, inner, outer), strict=True)]
    (W_V, W_1, W_2), M = checks.weights_and_moment([matrix.T for matrix in matrices], moment)
    if len(M) != 1:
        raise ArchitectureError(
            f"The moment has {len(M)} rows, one for each output, and the effective dynamics are of one; give the "
            "matrices and the moment to linear_blowup_time."
        )
    kappa = float(np.linalg.norm(M))
    if kappa == 0:
        raise ArchitectureError("The moment is zero, so nothing moves to this order and there is no target direction.")
    direction = M[0] / kappa
    b, orthogonal = split_first_layer(W_V, direction)
    return AttentionStage(State(W_2[0], W_1, b), np.asarray(orthogonal), kappa, direction)


def settled_map(
    tokens: ArrayLike, targets: ArrayLike, *, blocks: int = 1, causal: bool = False
) -> Float[np.ndarray, "d c"]:
    """``p = W_V W_1 W_2`` where the first stage settles under squared error: least squares of the averaged tokens.

    Parameters
    ----------
    tokens : array of shape (n, s, d)
    targets : array of shape (n, c) or (n, s, c)
        Of the last position, or of every one.
    blocks, causal : int, bool
        As of `path_moment`.

    Returns
    -------
    array of float64, shape (d, c)
        The solution of the smallest norm, which small starts tend to (here, docs/theory.md).

    Raises
    ------
    ArchitectureError, SpecError
        As `path_moment`.

    Examples
    --------
    >>> settled_map([[[1.0], [3.0]], [[2.0], [2.0]]], [[4.0], [4.0]])
    array([[2.]])
    """
    every = np.ndim(targets) == 3
    X, y = _sequences(tokens, targets, "The targets")
    averaged = _averaging(X.shape[1], blocks, causal) @ X
    read = slice(None) if every else slice(-1, None)
    rows = averaged[:, read].reshape(-1, X.shape[2])
    return np.asarray(np.linalg.lstsq(rows, y[:, read].reshape(len(rows), -1), rcond=None)[0])


def key_query_moment(tokens: ArrayLike, pull: ArrayLike, *, causal: bool = False) -> Float[np.ndarray, "d d"]:
    """``F``, which moves keys and queries while their logits are small: ``W_Q' = F W_K``, ``W_K' = F^T W_Q``.

    ``F = (1/n) sum_i sum_j x_ij (S_ij g_ij)^T / sqrt(d_k)`` without the root, which depends on the head: divide by
    ``sqrt(d_k)``. ``S_ij`` is the covariance of the tokens that position j sees, and ``g_ij`` the pull on what it
    takes from them. Chen and Luo, arXiv 2510.06954, for one query and one output; the general form: here,
    docs/theory.md.

    Parameters
    ----------
    tokens : array of shape (n, s, d)
        What enters the attention.
    pull : array of shape (n, d) or (n, s, d)
        ``W_V`` times minus the derivative of each row's loss by what the head hands on: for a linear network ``p r_i``,
        with ``p = W_V W_1 W_2`` and the residuals ``r_i`` of the settled state. Of the last position, or of every one.
    causal : bool

    Returns
    -------
    array of float64, shape (d, d)

    Raises
    ------
    ArchitectureError
        For shapes that do not fit, NaN or infinity.

    Examples
    --------
    >>> key_query_moment([[[-1.0, 0.0], [1.0, 0.0]]], [[3.0, 5.0]])
    array([[3., 0.],
           [0., 0.]])
    """
    X, g = _sequences(tokens, pull, "The pull")
    if g.shape[2] != X.shape[2]:
        raise ArchitectureError(f"The pull has {g.shape[2]} coordinates and the tokens {X.shape[2]}; give as many.")
    averaging = uniform_attention(X.shape[1], causal=causal)
    along = np.einsum("ijd,ikd->ijk", g, X)
    # What the mean has of the pull is taken off, so this is the covariance times the pull.
    along -= np.einsum("jk,ijk->ij", averaging, along)[:, :, None]
    moved = np.einsum("jk,ijk,ikd->ijd", averaging, along, X)
    return np.einsum("ijd,ije->de", X, moved) / len(X)


def rank_collapse(queries: ArrayLike, keys: ArrayLike, moment: ArrayLike) -> RankCollapse:
    """How ``W_Q`` and ``W_K`` grow under ``F``: they are the two layers of a linear network whose moment it is.

    ``W_Q^T u`` and ``W_K^T w`` exchange at the rate ``sigma`` of each singular pair, so both become rank one, with
    one shared right vector ``z = (W_Q^T u + W_K^T w) / 2``. The collapse is Chen and Luo's, arXiv 2510.06954; the
    closed form: here, docs/theory.md. `two_layer_solution` of ``(W_K^T, W_Q)`` gives the matrices themselves.

    Parameters
    ----------
    queries, keys : arrays of shape (d, d_k)
    moment : array of shape (d, d)
        ``F`` of the head: `key_query_moment` divided by ``sqrt(d_k)``.

    Returns
    -------
    RankCollapse

    Raises
    ------
    ArchitectureError
        For shapes that do not fit, NaN or infinity.

    Examples
    --------
    >>> found = rank_collapse([[1.0], [0.0]], [[1.0], [0.0]], [[2.0, 0.0], [0.0, 1.0]])
    >>> found.rate, found.gap, round(found.doubled * found.rate, 8) == round(float(np.log(2)), 8)
    (2.0, 0.5, True)
    """
    W_Q, W_K = checks.finite("W_Q", queries, rank=2), checks.finite("W_K", keys, rank=2)
    (W_KT, W_Q), F = checks.weights_and_moment([W_K.T, W_Q], moment)
    left, sigma, right = np.linalg.svd(F)
    along, across = left.T @ W_Q, right @ W_KT.T
    shared = (along[0] + across[0]) / 2
    gap = 0.0 if len(sigma) < 2 or sigma[0] == 0 else float(sigma[1] / sigma[0])
    # The parts of both that grow with each pair and that fall, relative to the largest entry.
    size = max(np.abs(W_Q).max(), np.abs(W_K).max()) or 1.0
    rising, falling = (np.sum(((along + sign * across) / size) ** 2, axis=1) / 2 for sign in (1, -1))
    total = float(np.sum(rising + falling))
    grows = (rising > 1e-24 * total) & (sigma > 1e-12 * sigma[0])

    def beyond(time: float) -> float:
        """Of the squared norms of both, less four times those at the start."""
        turn = 2 * sigma * time / sigma[0]
        rest = np.sum(np.where(grows, 0.0, rising)) + falling @ np.exp(-turn)
        return float(rising[grows] @ np.exp(turn[grows]) + rest) - 4 * total

    # It is convex, so it crosses once.
    doubled = np.inf
    if grows.any():
        latest = 1.0
        while beyond(latest) < 0:
            latest *= 2
        doubled = float(brentq(beyond, 0.0, latest, xtol=1e-12) / sigma[0])
    return RankCollapse(float(sigma[0]), gap, left[:, 0], right[0], shared, doubled)


def _averaging(length: int, blocks: int, causal: bool) -> Float[np.ndarray, "s s"]:
    """`uniform_attention`, so many times."""
    if not is_whole(blocks) or blocks < 0:
        raise SpecError(f"The number of attention blocks is {blocks!r:.60}; it must be a whole number from 0 on.")
    return np.linalg.matrix_power(uniform_attention(length, causal=causal), blocks)


def _sequences(
    tokens: ArrayLike, given: ArrayLike, what: str
) -> tuple[Float[np.ndarray, "n s d"], Float[np.ndarray, "n s c"]]:
    """Tokens, and what is given of each position; of the last alone where it has two axes."""
    X = checks.finite("The tokens", tokens, rank=3)
    of_positions = checks.finite(what, given)
    if of_positions.ndim == 2:
        last = of_positions[:, None]
        of_positions = np.zeros((len(last), X.shape[1], last.shape[2]))
        of_positions[:, -1:] = last
    if 0 in X.shape or of_positions.ndim != 3 or of_positions.shape[:2] != X.shape[:2]:
        raise ArchitectureError(
            f"Tokens {X.shape} and {what.lower()} {np.shape(given)} given; expected (n, s, d), and (n, c) or (n, s, c)."
        )
    return X, of_positions
