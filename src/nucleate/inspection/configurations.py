"""What names tell of a model: the configurations of Hugging Face, and the tensors of quantized weights."""

import re
from collections.abc import Container, Mapping
from typing import Any

from nucleate.inspection.sources import Heads

QUERY_HEADS = (
    "num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads", "encoder_attention_heads", "heads",
    "nhead",
)  # fmt: skip
"""What configurations and modules call the number of heads, and below that of keys and values."""
KEY_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_kv_head")


def heads_in(config: Mapping[str, Any], layer: str = "") -> Heads | None:
    """The heads that a configuration of Hugging Face tells, of the part of the model that a layer belongs to."""
    for part in ("text", "vision", "audio"):
        within = config.get(f"{part}_config")
        if isinstance(within, Mapping) and re.search(rf"(?:^|[._]){part}|{_PART.get(part, part)}", layer):
            return heads_in(within)
    queries = next((config[key] for key in QUERY_HEADS if isinstance(config.get(key), int)), None)
    if "decoder" in layer and isinstance(config.get("decoder_attention_heads"), int):
        queries = config["decoder_attention_heads"]
    if not queries or queries < 1:
        return None
    keys = next((config[key] for key in KEY_HEADS if isinstance(config.get(key), int)), None)
    return Heads(queries, 1 if config.get("multi_query") is True and keys in (None, queries) else keys or queries)


_PART = {"text": "language_model"}


def is_activation_symmetric(config: Mapping[str, Any], layer: str) -> bool | None:
    """Whether the activation that a configuration names is odd or even; of layers in its MLPs alone it is known."""
    name = next((config[key] for key in _ACTIVATIONS if isinstance(config.get(key), str)), None)
    if name is None or not _IN_MLP.search(layer):
        return None
    return name in ("tanh", "linear", "identity", "hardtanh", "softsign")


_ACTIVATIONS = ("hidden_act", "activation_function", "hidden_activation", "dense_act_fn", "activation")
_IN_MLP = re.compile(r"mlp|ffn|feed_?forward|intermediate|fc1|DenseReluDense|lin1|expert|up_proj|gate_proj|c_fc|wi")


def quantized(name: str, names: Container[str]) -> str | None:
    """Why numbers under a name, one of all that there are, are not those of the model."""
    stem = name.removesuffix(".weight")
    beside = [
        f"{name}_scale",
        f"{name}_scale_inv",
        f"{stem}.weight_scale",
        f"{name}.absmax",
        f"{stem}.scales",
        f"{stem}.SCB",
    ]
    if any(one in names for one in beside):
        return "it is quantized, with scales beside it; load the model in float32 and give that"
    if re.search(
        r"\.(?:qweight|qzeros|g_idx|scales|SCB|absmax|quant_map|weight_scale(?:_inv)?)$|\.quant_state\.", name
    ):
        return "it belongs to quantized weights; load the model in float32 and give that"
    return None
