"""Convolutions, attention and norms answer as PyTorch's do with the same weights."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from nucleate import ConvNetwork, InitScale, Transformer  # noqa: E402

GAIN = InitScale("gain", 1.0)


def double(array):
    return torch.tensor(np.asarray(array, np.float64))


@pytest.mark.parametrize(
    ("padding", "stride", "pool", "pooling"),
    [("same", 1, 2, "mean"), ("valid", 2, 1, "mean"), (2, 1, 3, "max"), ("circular", 1, 1, "mean")],
    ids=["same", "valid", "padded", "circular"],
)
@pytest.mark.parametrize("axes", [1, 2])
def test_a_convolution_is_that_of_pytorch(axes, padding, stride, pool, pooling):
    shape = (9, 2) if axes == 1 else (9, 8, 2)
    network = ConvNetwork.create(
        shape,
        [4],
        3,
        scale=GAIN,
        kernel=3,
        stride=stride,
        padding=padding,
        pool=pool,
        pooling=pooling,
        readout="flatten",
        bias=True,
        dtype="float64",
    )
    kind = (torch.nn.Conv1d, torch.nn.Conv2d)[axes - 1]
    own = {"padding": 1, "padding_mode": "circular"} if padding == "circular" else {"padding": padding}
    layer = kind(2, 4, 3, stride=stride, **own, dtype=torch.float64)
    average, largest = ("AvgPool", "MaxPool")
    pooled = getattr(torch.nn, f"{average if pooling == 'mean' else largest}{axes}d")(pool)
    x = np.random.default_rng(0).standard_normal((5, int(np.prod(shape))))
    with torch.no_grad():
        # PyTorch has channels first, in kernels and signals.
        layer.weight.copy_(torch.movedim(double(network.kernels[0]), -1, 1))
        layer.bias.copy_(double(network.biases[0]))
        signal = pooled(torch.tanh(layer(torch.movedim(torch.tensor(x.reshape(-1, *shape)), -1, 1))))
        features = torch.movedim(signal, 1, -1).flatten(1)
        outputs = features @ double(network.head).T + double(network.head_bias)
    np.testing.assert_allclose(network(x), outputs, atol=1e-12)


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_that_of_pytorch(causal):
    model = Transformer.create(
        (5, 8),
        30,
        scale=GAIN,
        heads=2,
        mlp=0,
        embedding=False,
        positions=False,
        residual=False,
        causal=causal,
        readout="every",
        dtype="float64",
    )
    block, layer = model.blocks[0], torch.nn.MultiheadAttention(8, 2, bias=False, batch_first=True, dtype=torch.float64)
    x = np.random.default_rng(0).standard_normal((4, 40))
    hidden = torch.triu(torch.ones(5, 5, dtype=torch.bool), diagonal=1) if causal else None
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.cat([double(part) for part in (block.query, block.key, block.value)]))
        layer.out_proj.weight.copy_(double(block.output))
        rows = torch.tensor(x.reshape(4, 5, 8))
        attended, _ = layer(rows, rows, rows, attn_mask=hidden)
        outputs = attended @ double(model.unembedding).T
    np.testing.assert_allclose(model(x), outputs.flatten(1), atol=1e-12)


@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_a_block_with_a_norm_is_that_of_pytorch(norm):
    model = Transformer.create(
        (4,), 6, tokens=7, scale=GAIN, width=6, heads=2, mlp=5, norm=norm, eps=0.3, bias=True, dtype="float64"
    )
    block = model.blocks[0]
    kind = torch.nn.RMSNorm if norm == "rms" else torch.nn.LayerNorm
    normed = kind(6, eps=0.3, elementwise_affine=False)
    x = np.random.default_rng(0).integers(0, 7, (3, 4))
    h = double(model.embedding)[torch.tensor(x)] + double(model.position)
    query, key, value = (
        (normed(h) @ double(part).T).reshape(3, 4, 2, 3).transpose(1, 2)
        for part in (block.query, block.key, block.value)
    )
    attended = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    h = h + attended.transpose(1, 2).flatten(2) @ double(block.output).T
    hidden = torch.tanh(normed(h) @ double(block.mlp_in).T + double(block.mlp_in_bias))
    h = h + hidden @ double(block.mlp_out).T + double(block.mlp_out_bias)
    outputs = normed(h[:, -1]) @ double(model.unembedding).T + double(model.unembedding_bias)
    np.testing.assert_allclose(model(x), outputs, atol=1e-12)
