"""What the package's models are near zero in closed form, held against what is read off as parameters are scaled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nucleate import ConvNetwork, InitScale, Network, Transformer, devices
from nucleate.architectures import closed_form
from nucleate.theory import near_zero

SMALL = InitScale("epsilon", 0.05)
ROWS = np.random.default_rng(0).standard_normal((7, 12))
TOKENS = np.random.default_rng(0).integers(0, 5, (7, 4)).astype(float)
TRANSFORMERS = {
    "attention alone": {"embedding": False, "positions": False, "mlp": 0, "unembedding": "none"}
    | {"residual": False, "causal": False},
    "two heads and a hidden layer": {"width": 4, "heads": 2, "mlp": 3, "residual": False},
    "residual stream of two layers": {"width": 3, "mlp": 3, "layers": 2, "readout": "mean"},
    "norms with gains": {"width": 3, "mlp": 3, "norm": "rms", "eps": 1.0, "norm_gains": True, "residual": False},
}
CONVOLUTIONS = {
    "mean pool": {"pool": 2, "readout": "flatten"},
    "max pool": {"pool": 2, "pooling": "max"},
    "ReLU": {"activation": "relu", "padding": "circular"},
}
MODELS = {
    name: (Transformer.create((4, 3), 2, scale=SMALL, dtype="float64", **options), ROWS)
    for name, options in TRANSFORMERS.items()
} | {
    name: (ConvNetwork.create((6, 2), [3, 2], 2, scale=SMALL, kernel=2, dtype="float64", **options), ROWS)
    for name, options in CONVOLUTIONS.items()
}
TIED = Transformer.create((4,), 5, tokens=5, scale=SMALL, unembedding="tied", width=3, dtype="float64")
MODELS["tied tokens"] = TIED, TOKENS


@pytest.mark.parametrize(("model", "x"), MODELS.values(), ids=MODELS)
def test_it_leads_as_the_model_itself_does(model, x):
    own, closed = near_zero(model, x), near_zero(closed_form(model), x)
    assert (own.degree, own.lowest) == (closed.degree, closed.lowest)
    with devices.float64():
        found, expected = (np.asarray(one.leading(jnp.asarray(x))) for one in (closed, own))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("causal", [False, True])
def test_keys_and_queries_are_moved_as_in_the_model_itself_but_for_the_next_order_of_the_logits(causal):
    errors = []
    for eps in (0.1, 0.05):
        scale = InitScale("epsilon", eps)
        model = Transformer.create((4, 3), 1, scale=scale, width=4, heads=2, mlp=0, causal=causal, dtype="float64")
        with devices.float64():

            def loss(one, x):
                return jnp.sum((one.on_columns(x.T)[0] - np.sin(ROWS[:, 0])) ** 2)

            slopes = [jax.grad(loss)(one, jnp.asarray(ROWS)) for one in (model, closed_form(model))]
        own, closed = (np.concatenate([np.ravel(s.blocks[0].query), np.ravel(s.blocks[0].key)]) for s in slopes)
        errors.append(np.linalg.norm(closed - own) / np.linalg.norm(own))
    assert errors[0] < 0.02
    # Behind an embedding logits are of degree four.
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.1)


def test_of_other_models_no_closed_form_is_known():
    assert closed_form(Network.create(2, [3], 1, scale=SMALL)) is None
