"""A transformer is what attention written out says, in each of its forms."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

import nucleate
from nucleate import ArchitectureError, InitScale, Transformer
from nucleate.observe import layers_of, measure

GAIN = InitScale("gain", 1.0)
TOKENS = {"shape": (5,), "outputs": 4, "tokens": 7, "width": 6, "heads": 2, "mlp": 8, "scale": GAIN}
REAL = {"shape": (4, 3), "outputs": 2, "width": 6, "heads": 3, "mlp": 5, "scale": GAIN}


def written_out(model, rows):
    """The outputs, a row, a head and a position at a time."""
    return np.array([_one_row(model, np.asarray(row, np.float64)) for row in rows])


def _one_row(model, row):
    if model.tokens is None:
        h = row.reshape(model.shape)
        h = h if model.embedding is None else h @ np.asarray(model.embedding).T
    else:
        h = np.array([model.embedding[int(token)] for token in row])
    h = h if model.position is None else h + model.position
    norm = _norms(model)
    for block in model.blocks:
        read = next(norm)(h)
        units = len(block.query) // model.heads
        attended = np.zeros((len(h), len(block.query)))
        for head in range(model.heads):
            part = slice(head * units, (head + 1) * units)
            query, key, value = (read @ matrix[part].T for matrix in (block.query, block.key, block.value))
            for here in range(len(h)):
                seen = range(here + 1) if model.causal else range(len(h))
                logits = np.array([query[here] @ key[there] / np.sqrt(units) for there in seen])
                weights = np.exp(logits) / np.exp(logits).sum()
                attended[here, part] = sum(weight * value[there] for weight, there in zip(weights, seen, strict=True))
        attended = attended if block.output is None else attended @ block.output.T
        h = h + attended if model.residual else attended
        if block.mlp_in is not None:
            z = next(norm)(h) @ block.mlp_in.T
            z = z if block.mlp_in_bias is None else z + block.mlp_in_bias
            left = np.tanh(z) @ block.mlp_out.T
            left = left if block.mlp_out_bias is None else left + block.mlp_out_bias
            h = h + left if model.residual else left
    h = next(norm)(h)
    h = {"last": h[-1:], "mean": h.mean(axis=0, keepdims=True), "every": h}[model.readout]
    reader = model.embedding if model.tied else model.unembedding
    outputs = h if reader is None else h @ np.asarray(reader).T
    return (outputs if model.unembedding_bias is None else outputs + model.unembedding_bias).ravel()


def _norms(model):
    """The norms in their order, each a function of all positions."""
    for place in itertools.count():
        gain = 1.0 if model.norm_gains is None else model.norm_gains[place]
        bias = 0.0 if model.norm_biases is None else model.norm_biases[place]
        yield lambda h, gain=gain, bias=bias: np.array([_normed(model, one) * gain + bias for one in h])


def _normed(model, position):
    if model.norm is None:
        return position
    centred = position - position.mean() if model.norm == "layer" else position
    return centred / np.sqrt((centred**2).mean() + model.eps)


def with_random_norms(model):
    """With other gains and biases than those of the start."""
    draw = np.random.default_rng(3).standard_normal
    drawn = [
        None if given is None else tuple(one + 0.5 * draw(one.shape) for one in given)
        for given in (model.norm_gains, model.norm_biases)
    ]
    return replace(model, norm_gains=drawn[0], norm_biases=drawn[1])


@pytest.mark.parametrize(
    "options",
    [
        TOKENS,
        TOKENS | {"layers": 2, "norm": "rms", "eps": 0.1, "bias": True},
        TOKENS | {"causal": False, "norm": "layer", "readout": "mean", "positions": False},
        TOKENS | {"unembedding": "tied", "outputs": 35, "readout": "every", "mlp": 0},
        TOKENS | {"layers": 2, "norm": "layer", "norm_gains": True},
        REAL | {"norm": "rms", "norm_gains": True, "project": False, "head_width": 3, "residual": False},
        REAL | {"layers": 2, "residual": False, "activation": "tanh"},
        REAL | {"head_width": 3, "readout": "mean"},
        {
            **REAL,
            "embedding": False,
            "positions": False,
            "project": False,
            "heads": 1,
            "head_width": 4,
            "residual": False,
            "unembedding": "none",
        },
    ],
    ids=[
        "causal",
        "rms",
        "bidirectional",
        "tied",
        "layer norm's gains",
        "RMS norm's gains",
        "numbers",
        "wide heads",
        "bare",
    ],
)
def test_its_outputs_are_those_of_attention_written_out(options):
    model = with_random_norms(Transformer.create(**options, dtype="float64", seed=2))
    rng = np.random.default_rng(0)
    x = rng.integers(0, 7, (4, 5)) if model.tokens else rng.standard_normal((4, 12))
    np.testing.assert_allclose(model(x), written_out(model, x), atol=1e-12)
    assert model.outputs == options["outputs"]


@pytest.mark.parametrize(
    ("convention", "value", "std"),
    [
        ("gain", 0.5, lambda fan_in, width: 0.5 / fan_in**0.5),
        ("epsilon", 0.01, lambda fan_in, width: 0.01),
        ("gamma", 0.7, lambda fan_in, width: width**-0.7),
        ("fan_in_gamma", 0.7, lambda fan_in, width: fan_in**-0.7),
    ],
)
def test_each_kind_has_the_scale_of_its_convention(convention, value, std):
    model = Transformer.create((50,), 40, tokens=60, width=30, mlp=80, scale=InitScale(convention, value), layers=2)
    # What each matrix multiplies, and the width that it feeds, or for the last one reads.
    shapes = {"embedding": (60, 30), "position": (50, 30), "query": (30, 30), "key": (30, 30), "value": (30, 30)}
    shapes |= {"output": (30, 30), "mlp_in": (30, 80), "mlp_out": (80, 30), "unembedding": (30, 30)}
    assert model.kinds.keys() == shapes.keys()
    for kind, matrices in model.kinds.items():
        for matrix in matrices:
            assert np.std(matrix) == pytest.approx(std(*shapes[kind]), rel=0.1)


def test_scales_may_differ_by_kind_and_draws_do_not_depend_on_them():
    kinds = list(Transformer.create(**TOKENS).kinds)
    one = Transformer.create(**TOKENS, seed=1)
    numbers = "x".join("0.1" if kind in ("query", "key") else "1" for kind in kinds)
    other = Transformer.create(**TOKENS | {"scale": InitScale("gain", numbers)}, seed=1)
    by_name = dict.fromkeys(kinds, GAIN) | {"query": InitScale("gain", 0.1), "key": InitScale("gain", 0.1)}
    named = Transformer.create(**TOKENS | {"scale": by_name}, seed=1)
    np.testing.assert_allclose(other.blocks[0].key, 0.1 * one.blocks[0].key, rtol=1e-6)
    np.testing.assert_array_equal(other.blocks[0].value, one.blocks[0].value)
    np.testing.assert_array_equal(named.blocks[0].query, other.blocks[0].query)


def test_its_layers_are_its_matrices():
    model = Transformer.create(**TOKENS | {"layers": 2, "causal": False, "readout": "mean"})
    x = np.random.default_rng(0).integers(0, 7, (9, 5)).astype(float)
    x[x == 3] = 4
    layers = {layer.name: layer for layer in layers_of(model, x)}
    of_block = ["query", "key", "value", "output", "mlp_in", "mlp_out"]
    assert list(layers) == ["embedding", *(f"{name}{block}" for block in (1, 2) for name in of_block)]
    first, second = model.blocks
    np.testing.assert_allclose(layers["query1"].outgoing, first.key)
    np.testing.assert_allclose(layers["value1"].outgoing, first.output.T)
    np.testing.assert_allclose(layers["mlp_in2"].outgoing, second.mlp_out.T)
    np.testing.assert_allclose(layers["mlp_out2"].outgoing, model.unembedding.T)
    np.testing.assert_allclose(layers["mlp_out1"].outgoing.T[:6], second.query)
    np.testing.assert_allclose(np.tanh(layers["mlp_in1"].entering), layers["mlp_in1"].leaving)
    assert layers["value2"].leaving.shape == (6, 5 * 9)
    # A token that the rows do not have weighs nothing.
    assert (layers["embedding"].outgoing[3] == 0).all()
    np.testing.assert_allclose(np.square(layers["embedding"].outgoing).sum(), 1)
    row = measure(model, model, x)
    assert len(row) == 12 * 13
    assert row["relative_distance_key2"] == 0


@pytest.mark.parametrize("mlp", [5, 0])
def test_a_last_matrix_that_gives_the_outputs_leaves_each_as_it_is(mlp):
    """Whether the heads have as many units as there are outputs, or not."""
    model = Transformer.create(**REAL | {"unembedding": "none", "residual": False, "mlp": mlp})
    layers = {layer.name: layer for layer in layers_of(model, np.random.default_rng(0).standard_normal((9, 12)))}
    last = layers["mlp_out1" if mlp else "output1"]
    np.testing.assert_array_equal(last.outgoing, np.eye(2))


def test_tokens_with_one_vector_count_as_one():
    model = Transformer.create(**TOKENS | {"tokens": 4})
    vectors = np.array(model.embedding)
    vectors[1] = -2 * vectors[0]
    vectors[3] = vectors[2]
    model = type(model)(**vars(model) | {"embedding": vectors})
    x = np.tile([0.0, 1.0, 2.0, 3.0, 0.0], (4, 1))
    assert layers_of(model, x)[0].directions == 2
    assert layers_of(model, x)[0].effective_neurons <= 2


def test_only_tokens_are_read_as_tokens():
    model = Transformer.create(**TOKENS)
    with pytest.raises(
        ArchitectureError, match=r"has 0\.5 in row 2, column 3, and tokens have the whole numbers 0 to 6"
    ):
        model(np.where(np.arange(10).reshape(2, 5) == 7, 0.5, 1.0))
    with pytest.raises(ArchitectureError, match="has 7 in row 1, column 1"):
        model(np.full((2, 5), 7))


def test_it_says_whether_it_can_give_a_constant():
    for options, fits in (({}, False), ({"bias": True}, True), ({"activation": "sigmoid"}, True)):
        assert Transformer.create(**TOKENS, **options).fits_constants is fits
    assert not Transformer.create(**TOKENS | {"mlp": 0}, activation="sigmoid").fits_constants
    for norm, fits in (("rms", False), ("layer", True)):
        assert Transformer.create(**TOKENS, norm=norm, norm_gains=True).fits_constants is fits


def test_norms_learn_gains_and_layer_norms_biases_from_one_and_zero_whatever_the_scale():
    one, other = (
        Transformer.create(**TOKENS | {"scale": InitScale("gain", gain), "norm": "layer", "norm_gains": True})
        for gain in (1.0, 0.01)
    )
    for model in (one, other):
        assert len(model.norm_gains) == len(model.norm_biases) == 3
        assert all((gain == 1).all() for gain in model.norm_gains)
        assert not any(bias.any() for bias in model.norm_biases)
        assert "norm with eps 1e-05, gains and biases" in repr(model)
    problem = nucleate.load_problem("modular-addition:p=5")
    sizes = {"tokens": 6, "width": 4, "mlp": 4, "scale": GAIN}
    start = Transformer.create((3,), 5, norm="rms", norm_gains=True, **sizes)
    run = nucleate.train(start, problem, steps=4, learning_rate=0.5, evaluations=4)
    assert all((before != after).all() for before, after in zip(start.norm_gains, run.final.norm_gains, strict=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": 5}, "number of layers is 5; it must be from 1 to 4"),
        ({"heads": 4}, "width 6 is not a multiple of 4 heads"),
        ({"tokens": None}, r"shape of the inputs is \(5,\); give \(length, numbers of a position\)"),
        ({"shape": (5, 2)}, r"shape of the inputs is \(5, 2\); give \(length,\) for tokens"),
        ({"embedding": False}, "Tokens have no vectors without an embedding"),
        ({"unembedding": "tied"}, "tied to the embedding of 7 tokens, and there are 4 outputs"),
        ({"unembedding": "none"}, "no residual; take a free unembedding, or residual=False"),
        ({"readout": "every"}, "4 outputs, no multiple of the 5 positions"),
        ({"project": False, "head_width": 2}, "heads hand on 4 numbers, and the width is 6"),
        ({"norm_gains": True}, "no norm to have gains"),
        ({"norm": "batch"}, "norm is 'batch'; choose None or rms or layer"),
        ({"eps": -1.0}, "eps is -1.0; it must be a finite number, 0 or more"),
        ({"causal": "yes"}, "causal is 'yes'; it must be True or False"),
        ({"bias": "first"}, "bias is 'first', and a transformer has none of them or all"),
        ({"scale": {"head": GAIN}}, "the scale names 'head', which it has not"),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_sentence(change, said):
    with pytest.raises(ArchitectureError, match=said):
        Transformer.create(**TOKENS | change)
