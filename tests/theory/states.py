"""Random states of the effective dynamics, for hypothesis and for reference."""

import numpy as np
from hypothesis import strategies as st


def gaussian(seed, m2, m1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(m2), rng.standard_normal((m2, m1)), rng.standard_normal(m1)


@st.composite
def states(draw, m2=2, m1=3, exponents=(-6, 3), unequal=1):
    """Gaussian states of a size between powers of ten, each layer up to a factor 10^±unequal larger or smaller."""
    size = draw(st.floats(*exponents))
    shifts = [draw(st.floats(-unequal, unequal)) for _ in range(3)]
    layers = gaussian(draw(st.integers(0, 2**31 - 1)), m2, m1)
    return tuple(10 ** (size + shift) * layer for shift, layer in zip(shifts, layers, strict=True))
