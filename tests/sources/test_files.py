"""Files of weights: what they hold is read exactly, and what is none is refused in a sentence."""

import json
import pickle

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save, save_file

from nucleate import ArchitectureError, ConvNetwork, DataError, InitScale, Network, NucleateError, Transformer, inspect
from nucleate.models import save_model
from nucleate.observe import measure
from tests.sealed import seal_tensors

RNG = np.random.default_rng(0)
WEIGHTS = RNG.standard_normal((6, 4)).astype("float32")


def norm(found, layer="fc"):
    return found.table.filter(layer=layer, measure="norm")["value"].item()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_safetensors_are_read_exactly(dtype, tmp_path):
    weights = WEIGHTS.astype(dtype)
    save_file({"fc.weight": weights, "fc.bias": np.ones(6, dtype)}, tmp_path / "a.safetensors")
    expected = inspect({"fc.weight": weights, "fc.bias": np.ones(6, dtype)})
    assert inspect(tmp_path / "a.safetensors").table.equals(expected.table)
    assert norm(expected) == pytest.approx(np.linalg.norm(weights.astype("float64")), rel=1e-12)


def test_sixteen_bits_of_brain_floats(tmp_path):
    weights = WEIGHTS.astype(ml_dtypes.bfloat16)
    header = {"fc.weight": {"dtype": "BF16", "shape": [6, 4], "data_offsets": [0, 48]}}
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + weights.tobytes())
    assert norm(inspect(tmp_path / "a.safetensors")) == pytest.approx(
        np.linalg.norm(weights.astype("float64")), rel=1e-12
    )


def test_a_saved_network_and_npz(tmp_path):
    network = Network.create(4, [6], 1, scale=InitScale("gain", 1.0), bias=True)
    network.save(tmp_path / "a.safetensors")
    assert inspect(tmp_path / "a.safetensors").table.equals(inspect(network).table)
    np.savez(tmp_path / "a.npz", **{"fc.weight": WEIGHTS})
    assert norm(inspect(tmp_path / "a.npz")) == norm(inspect({"fc.weight": WEIGHTS}))


SMALL = InitScale("gain", 0.5)
OWN = {
    "kernels and biases": (
        ConvNetwork.create((6, 6, 2), [4, 5], 3, scale=SMALL, pool=2, pooling="max", bias=True),
        RNG.standard_normal((6, 72)),
        {"conv1": ("kernel", 4), "conv2": ("kernel", 5), "head": ("linear", 3)},
    ),
    "kernels of a sequence, read flat": (
        ConvNetwork.create((9, 2), [4], 3, scale=SMALL, readout="flatten", activation="relu"),
        RNG.standard_normal((6, 18)),
        {"conv1": ("kernel", 4), "head": ("linear", 3)},
    ),
    "a transformer of tokens": (
        Transformer.create((5,), 7, tokens=7, scale=SMALL, width=6, heads=2, bias=True),
        RNG.integers(0, 7, (9, 5)),
        {
            "embedding": ("embedding", 7), "position": ("embedding", 5), "query1": ("query", 6), "key1": ("key", 6),
            "value1": ("value", 6), "output1": ("output", 6), "mlp_in1": ("up", 24), "mlp_out1": ("down", 6),
            "unembedding": ("linear", 7),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "x", "layers"), OWN.values(), ids=OWN)
def test_the_package_s_other_models_have_the_layers_of_their_tables(model, x, layers, tmp_path):
    found = inspect(model, x)
    rows = found.layers.select("layer", "kind", "units").rows()
    assert {layer: (kind, units) for layer, kind, units in rows} == layers
    expected = measure(model, model, x.astype(float))
    whole = found.table.filter(found.table["head"].is_null())
    told = {f"{row['measure']}_{row['layer']}": row["value"] for row in whole.iter_rows(named=True)}
    both = set(told) & set(expected)
    assert {f"effective_neurons_{layer}" for layer in layers} & set(expected) <= both
    assert {name: told[name] for name in both} == pytest.approx({name: expected[name] for name in both}, rel=1e-6)
    # A file says the same but for what a forward pass alone tells.
    save_model(model, tmp_path / "model.safetensors")
    of_file = inspect(tmp_path / "model.safetensors")
    assert of_file.table.equals(inspect(model).table)
    assert (of_file.notes, found.notes) == ((), ())


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("problem.safetensors@a", "holds no model, but the data of a study"),
        ("snapshots/run-00000.safetensors@a", "holds no model, but measures of a run"),
        ("checkpoints/chunk-00000.safetensors@a", "holds no model, but the state of runs that are not finished"),
    ],
)
def test_what_a_study_keeps_beside_its_models_is_no_weights(place, said, tmp_path):
    save_file({"train.x": WEIGHTS}, tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(seal_tensors((tmp_path / "a.safetensors").read_bytes(), place))
    with pytest.raises(DataError, match=said):
        inspect(tmp_path / "a.safetensors")


def test_the_models_of_a_run_are_in_its_order_and_those_of_several_no_checkpoints(tmp_path):
    for at in ("initial", "best", "final"):
        save_file({"fc.weight": WEIGHTS + len(at)}, tmp_path / f"run-00000-{at}.safetensors")
    found = inspect(str(tmp_path / "run-*.safetensors"))
    assert found.table["checkpoint"].unique(maintain_order=True).to_list() == [
        f"run-00000-{at}.safetensors" for at in ("initial", "best", "final")
    ]
    save_file({"fc.weight": WEIGHTS}, tmp_path / "run-00001-final.safetensors")
    with pytest.raises(DataError, match=r"names models of 2 runs of a study.*run-00000-\*\.safetensors"):
        inspect(str(tmp_path / "run-*.safetensors"))


def test_what_a_file_is_its_content_says_and_not_its_name(tmp_path):
    save_file({"fc.weight": WEIGHTS}, tmp_path / "model.bin")
    assert inspect(tmp_path / "model.bin").layers["layer"].to_list() == ["fc"]


def test_parts_of_weights_that_a_model_makes_are_named():
    part = np.ones((6, 1), "float32")
    arrays = {"fc.weight": WEIGHTS, "a.weight_g": part, "a.weight_v": WEIGHTS, "b.weight_orig": WEIGHTS}
    arrays |= {"b.weight_mask": np.sign(WEIGHTS), "c.weight_orig": WEIGHTS, "c.weight_u": part[:, 0]}
    arrays |= {"d.parametrizations.weight.original": WEIGHTS, "w_g": WEIGHTS, "w_v": WEIGHTS}
    found = inspect({name: array.copy() for name, array in arrays.items()})
    assert found.layers["layer"].to_list() == ["fc", "a", "b", "w_g", "w_v"]
    # What the parts tell is measured; nobody knows what is made of the others.
    assert norm(found, "a") == pytest.approx(np.sqrt(6))
    assert norm(found, "b") == pytest.approx(np.linalg.norm(WEIGHTS.astype(float)))
    reasons = dict(found.left_out.rows())
    assert reasons["a.weight_g"] == reasons["a.weight_v"] == "it is measured as part of a.weight"
    named = {name: reason.split()[3] for name, reason in reasons.items() if "makes" in reason}
    assert named == {
        "c.weight_orig": "c.weight", "c.weight_u": "c.weight", "d.parametrizations.weight.original": "d.weight",
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A model of Hugging Face's with grouped queries, in two shards."""
    part = "model.layers.0.self_attn."
    shards = [
        {f"{part}q_proj.weight": RNG.standard_normal((8, 8)), f"{part}k_proj.weight": RNG.standard_normal((4, 8))},
        {f"{part}v_proj.weight": RNG.standard_normal((4, 8)), f"{part}o_proj.weight": RNG.standard_normal((8, 8))},
    ]
    names = [f"model-0000{index}-of-00002.safetensors" for index in (1, 2)]
    for name, arrays in zip(names, shards, strict=True):
        save_file(arrays, tmp_path / name)
    weight_map = {one: name for name, arrays in zip(names, shards, strict=True) for one in arrays}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2})
    )
    return tmp_path


def test_heads_of_grouped_queries_come_from_the_configuration(folder):
    found = inspect(folder)
    counted = dict(found.table.filter(measure="norm").group_by("kind").len().rows())
    assert counted | {"query head": 4, "key head": 2, "value head": 2, "output head": 4} == counted
    assert found.notes == ()


def test_shards_are_one_model(folder):
    assert inspect(str(folder / "model-*.safetensors")).layers.equals(inspect(folder).layers)


def test_a_shard_that_is_missing(folder):
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(DataError, match=r"lacks model-00002-of-00002\.safetensors, which .*index\.json names"):
        inspect(folder)


def broken(path):
    save_file({"fc.weight": WEIGHTS}, path)
    path.write_bytes(path.read_bytes()[:-5])


WRONG = {
    "truncated": ("a.safetensors", broken, "is not a readable safetensors file"),
    "text": ("a.safetensors", lambda path: path.write_text("hello"), "is not a readable safetensors file"),
    "a pickle": ("a.pkl", lambda path: path.write_bytes(pickle.dumps({})), "is a pickle, which can run any code"),
    "a pickle of another name": ("model", lambda path: path.write_bytes(pickle.dumps({})), "is a pickle"),
    "another file": ("a.csv", lambda path: path.write_text("1,2"), "is no checkpoint; give a file that ends in"),
    "of Keras": ("a.keras", lambda path: path.write_bytes(b"PK"), "load it with keras.models.load_model"),
    "objects": ("a.npz", lambda path: np.savez(path, w=np.array([{}])), "is no npz file of arrays"),
    "an empty folder": ("folder", lambda path: path.mkdir(), "holds no weights"),
    "vectors": ("a.npz", lambda path: np.savez(path, v=np.ones(3)), "no layer that can be measured in a.npz"),
}


@pytest.mark.parametrize(("name", "write", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_no_checkpoint_is_one_sentence(name, write, sentence, tmp_path):
    write(tmp_path / name)
    with pytest.raises(NucleateError, match=sentence):
        inspect(tmp_path / name)


def test_quantized_numbers_are_named_and_not_measured(tmp_path):
    arrays = {"a.qweight": np.ones((4, 4), "int32"), "a.scales": np.ones((4, 1), "float16"), "fc.weight": WEIGHTS}
    save_file(arrays, tmp_path / "a.safetensors")
    reasons = dict(inspect(tmp_path / "a.safetensors").left_out.rows())
    assert "no weights as they are" in reasons["a.qweight"]
    assert "belongs to quantized weights" in reasons["a.scales"]


@pytest.mark.parametrize("word", ["x", "[1]", '{"model": 3}', '{"activation": ["tanh"]}'])
def test_what_others_call_nucleate_in_a_file_says_nothing_of_its_layers(word, tmp_path):
    save_file({"fc.weight": WEIGHTS}, tmp_path / "a.safetensors", {"nucleate": word})
    assert inspect(tmp_path / "a.safetensors").table.equals(inspect({"fc.weight": WEIGHTS}).table)


MISFITS = {
    "no heads": ("a transformer of tokens", ("2 heads", "0 heads"), "cannot be divided into 0 heads"),
    "other heads": ("a transformer of tokens", ("2 heads", "4 heads"), r"query1.weight of shape \(6, 6\) .* 4 heads"),
    "heads not said": ("a transformer of tokens", ("2 heads, ", ""), "an unknown number of heads"),
    "no transformer": ("kernels and biases", ("ConvNetwork(", "Transformer("), "there is no query1.weight"),
    "no kernels": ("a transformer of tokens", ("Transformer(", "ConvNetwork("), "there is no conv1.weight"),
}


@pytest.mark.parametrize(("which", "changed", "said"), MISFITS.values(), ids=MISFITS)
def test_a_file_that_says_another_layout_than_its_arrays_have_is_refused(which, changed, said, tmp_path):
    file = tmp_path / "model.safetensors"
    save_model(OWN[which][0], file)
    with safe_open(file, framework="numpy") as opened:
        told, tensors = opened.metadata()["nucleate"], {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    assert changed[0] in told
    file.write_bytes(seal_tensors(save(tensors, {"nucleate": told.replace(*changed)})))
    with pytest.raises(ArchitectureError, match=f"model.safetensors says that it holds .*: .*{said}.*; save the model"):
        inspect(file)


def test_a_file_of_a_convolutional_network_that_was_changed_is_refused(tmp_path):
    file = tmp_path / "conv.safetensors"
    save_model(OWN["kernels and biases"][0], file)
    with safe_open(file, framework="numpy") as opened:
        metadata, tensors = opened.metadata(), {name: 2 * opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    save_file(tensors, file, metadata)
    with pytest.raises(NucleateError, match=r"conv.safetensors cannot be read \(its checksum is wrong"):
        inspect(file)


def test_checkpoints_whose_names_tell_no_steps_are_said_to_be_numbered_by_their_order(tmp_path):
    for name in ("first", "last"):
        save_file({"fc.weight": np.random.default_rng(0).standard_normal((4, 3))}, tmp_path / f"{name}.safetensors")
    found = inspect(tmp_path / "*.safetensors")
    assert found.steps == (0, 1)
    (said,) = [note for note in found.notes if "steps" in note]
    assert said.startswith("The names of the checkpoints tell no steps")
    for step, name in ((10, "first"), (200, "last")):
        (tmp_path / f"{name}.safetensors").rename(tmp_path / f"step-{step}.safetensors")
    found = inspect(tmp_path / "*.safetensors")
    assert found.steps == (10, 200)
    assert not [note for note in found.notes if "steps" in note]
