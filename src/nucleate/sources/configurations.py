"""What names tell of a model: the configurations of Hugging Face, and the tensors of quantized weights."""

import re
from collections.abc import Container, Mapping
from typing import Any

from nucleate.pytorch.layers import KEY_HEADS, QUERY_HEADS, first_number
from nucleate.sources.source import Heads


def heads_in(config: Mapping[str, Any], layer: str = "") -> Heads | None:
    """The heads that a configuration of Hugging Face tells, of the part of the model that a layer belongs to."""
    for part, pattern in _PARTS.items():
        within = config.get(f"{part}_config")
        if isinstance(within, Mapping) and re.search(pattern, layer):
            return heads_in(within)
    queries, keys = (first_number(config.get, names) for names in (QUERY_HEADS, KEY_HEADS))
    if "decoder" in layer:
        queries = first_number(config.get, ("decoder_attention_heads",)) or queries
    if queries is None:
        return None
    return Heads(queries, 1 if config.get("multi_query") is True and keys in (None, queries) else keys or queries)


_PARTS = {"text": r"(?:^|[._])text|language_model", "vision": "vision", "audio": "audio"}


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
    beside = *(f"{name}{end}" for end in ("_scale", "_scale_inv", ".absmax")), f"{stem}.scales", f"{stem}.SCB"
    if any(one in names for one in (*beside, f"{stem}.weight_scale")):
        return "it is quantized, with scales beside it; load the model in float32 and give that"
    if re.search(
        r"\.(?:qweight|qzeros|g_idx|scales|SCB|absmax|quant_map|weight_scale(?:_inv)?)$|\.quant_state\.", name
    ):
        return "it belongs to quantized weights; load the model in float32 and give that"
    return None
