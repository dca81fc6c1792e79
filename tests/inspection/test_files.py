"""Files of weights: what they hold is read exactly, and what is none is refused in a sentence."""

import json
import pickle

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from nucleate import DataError, InitScale, Network, NucleateError, inspect

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
