"""Blow-up times by an independent road: Taylor series in plain time, in 40-digit fixed point."""

import mpmath
import numpy as np

ORDER = 24
BITS = 140
ONE = 1 << BITS


def blowup_time(a, W2, b, *, width=1e-15, each_layer=False):
    """``(lower, upper)`` from theory.md's enclosure, after Taylor steps in plain time until it is that narrow.

    A step's error counts against the size of the state, or of ``each_layer``, which matters where some are tiny.
    """
    with mpmath.workprec(BITS):
        # By a power of two, so that nothing is rounded: the size becomes about one, and time scales inversely.
        unit = mpmath.mpf(2) ** int(np.floor(np.log2(np.sqrt(sum((layer**2).sum() for layer in (a, W2, b)) / 3))))
        a, W2, b = (fixed_point(layer, unit) for layer in (a, W2, b))
        time = mpmath.mpf(0)
        for _ in range(1000):
            size = mpmath.sqrt(mpmath.mpf(int((a * a).sum() + (W2 * W2).sum() + (b * b).sum())) / 3) / ONE
            energy = mpmath.mpf(int(a @ W2 @ b)) / ONE**3
            if energy > 0:
                lower, upper = time + 1 / size, time + 1 / mpmath.cbrt(energy)
                if upper - lower < width * upper:
                    return lower / unit, upper / unit
            series = _series(a, W2, b)
            last = mpmath.mpf(max(abs(int(x)) for layer in series for x in layer[-1].flat)) / ONE
            step = mpmath.root(size * mpmath.mpf(10) ** -26 / last, ORDER)
            if each_layer:
                tails = [(int(abs(layer[0]).max()), int(abs(layer[-1]).max())) for layer in series]
                steps = [mpmath.root(mpmath.mpf(n) / t * mpmath.mpf(10) ** -26, ORDER) for n, t in tails if t]
                step = min(step, *steps)
            dt = int(step * ONE)
            a, W2, b = (_at(layer, dt) for layer in series)
            time += mpmath.mpf(dt) / ONE
    raise AssertionError("the enclosure did not close")


def fixed_point(layer, unit):
    digits = [int(mpmath.mpf(float(x)) / unit * ONE) for x in np.ravel(layer)]
    return np.array(digits, dtype=object).reshape(np.shape(layer))


def _series(a, W2, b):
    a, W2, b = (np.concatenate([layer[None], np.zeros((ORDER, *layer.shape), object)]) for layer in (a, W2, b))
    for k in range(ORDER):
        # The sums over i of W2_i b_(k-i), a_i b_(k-i)^T and W2_i^T a_(k-i).
        next_a = np.tensordot(W2[: k + 1], b[k::-1], ([0, 2], [0, 1]))
        next_W2 = np.tensordot(a[: k + 1], b[k::-1], (0, 0))
        next_b = np.tensordot(W2[: k + 1], a[k::-1], ([0, 1], [0, 1]))
        for layer, following in ((a, next_a), (W2, next_W2), (b, next_b)):
            layer[k + 1] = following // (ONE * (k + 1))
    return a, W2, b


def _at(terms, dt):
    value = terms[-1]
    for term in reversed(terms[:-1]):
        value = term + (value * dt >> BITS)
    return value
