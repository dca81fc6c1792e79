"""The units of a parameter, named by kind: rows, kernels, tokens, gates, and queries, keys and values by head.

A module says what its arrays hold. Of a file only names and shapes are known; where these tell too little, the whole
array is taken as it is, and a note says so.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nucleate.sources.source import (
    BY_TURNS,
    COLUMNS,
    GATES,
    IN_PROJ,
    KERNELS,
    KERNELS_LAST,
    MATRIX,
    ROWS,
    TOKENS,
    Form,
    Heads,
    Parameter,
    Source,
    transposed_kernels,
)

LINEAR_KINDS = frozenset(
    {"query", "key", "value", "output", "down", "query head", "key head", "value head", "output head"}
)
"""Kinds whose units are read without an activation, so that opposite vectors do the same work."""


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a layer, or of one of its heads: what each reads, in the dtype of the model."""

    layer: str
    kind: str
    head: int | None
    weights: Float[np.ndarray, "m k"]
    bias: Float[np.ndarray, " m"] | None
    opposites_are_one: bool

    @property
    def place(self) -> tuple[str, str, int | None]:
        """Which units of a model these are."""
        return self.layer, self.kind, self.head


def form_of(parameter: Parameter, names: Mapping[str, Parameter]) -> Form | str:
    """How the parameter, one of all these names, holds units, or why it has none."""
    shape = parameter.shape
    if 0 in shape:
        return "it is empty"
    if parameter.form is not None:
        return parameter.form
    whole = _made_of(parameter.name, names)
    if whole is not None:
        return f"the model makes {whole} of it, which is not in a file; inspect the module"
    if len(shape) < 2:
        return "a single number or a vector, which has no units to compare"
    bias = names.get(parameter.bias_name or "")
    outputs = bias.shape[0] if bias is not None and len(bias.shape) == 1 else None
    last = re.split(r"[./]", parameter.name)[-1]
    if len(shape) == 2:
        if last.startswith(("weight_ih", "weight_hh")):
            return GATES.get(_blocks(parameter, names), MATRIX)
        if last.startswith("weight_hr"):
            return ROWS
        if last == "in_proj_weight":
            return IN_PROJ
        if _TOKENS.search(parameter.name):
            return TOKENS
        if last == "kernel" or last.startswith("coefs_") or _in_gpt2(parameter, names):
            return COLUMNS
        if outputs == shape[1] != shape[0]:
            return COLUMNS
        return ROWS if parameter.bias_name is not None else MATRIX
    if len(shape) > 5:
        return f"its {len(shape)} axes are those of no layer that is known"
    if last == "kernel":
        return KERNELS_LAST
    if parameter.bias_name is None:
        return f"which of its {len(shape)} axes has the units is not known"
    if outputs is not None and outputs != shape[0] and outputs % shape[1] == 0:
        return transposed_kernels(outputs // shape[1])
    return KERNELS


_TOKENS = re.compile(
    r"(?:^|[._/])(?:wte|wpe|shared|emb|embed\w*|\w*embeddings?|relative_attention_bias)[./](?:weight|embedding)$"
)


def _made_of(name: str, names: Mapping[str, Parameter]) -> str | None:
    """Which weights a model makes of a parameter in a state dict: by a norm, a mask or another parametrization."""
    within = re.fullmatch(r"(.*?)parametrizations\.(\w+)\..+", name)
    if within is not None:
        return within[1] + within[2]
    stem, _, part = name.rpartition("_")
    size, direction = names.get(f"{stem}_g"), names.get(f"{stem}_v")
    if part in ("g", "v") and size is not None and direction is not None:
        # Others call gates and values so; a size has one number for each slice, or one for all.
        of_slices = len(size.shape) == len(direction.shape) and sum(count > 1 for count in size.shape) < 2
        return stem if of_slices or size.shape == () else None
    return stem if any(f"{stem}_{other}" in names for other in _MADE_OF.get(part, ())) else None


_MADE_OF = {"orig": ("mask", "u"), "mask": ("orig",), "u": ("orig",), "v": ("orig",)}
"""What stands beside a part of weights that PyTorch's older spectral norm and its pruning make anew at each pass."""


def _blocks(parameter: Parameter, names: Mapping[str, Parameter]) -> int:
    """How many blocks of rows the weights of a recurrent layer have."""
    hidden = names.get(parameter.name.replace("weight_ih", "weight_hh"))
    projected = names.get(re.sub("weight_[ih]h", "weight_hr", parameter.name))
    width = projected.shape[1] if projected else hidden.shape[1] if hidden else 0
    return parameter.shape[0] // width if width and parameter.shape[0] % width == 0 else 0


def _in_gpt2(parameter: Parameter, names: Mapping[str, Parameter]) -> bool:
    """Whether it is one of GPT-2's, told by its fused attention being as wide as it is high three times over."""
    found = _GPT2.search(parameter.name)
    if found is None:
        return False
    fused = names.get(f"{parameter.name[: found.start()]}.attn.c_attn.weight".lstrip("."))
    return fused is not None and fused.shape[1] == 3 * fused.shape[0]


_GPT2 = re.compile(r"\.?(?:attn|mlp|crossattention)\.(?:c_attn|c_fc|c_proj|q_attn)\.weight$")


def role_of(layer: str) -> str:
    """What the layer does in a transformer by its name: one of `ROLES`' names, or ``linear``."""
    layer = layer.removesuffix(BESIDE_ADAPTERS)
    return next((role for role, pattern in ROLES.items() if pattern.search(layer)), "linear")


BESIDE_ADAPTERS = ".base_layer"
"""How names of weights end beside which there are low-rank adapters."""


_IN_LAYER = r"(?:encoder|decoder)[./]layers[./]\d+[./]"
_IN_ATTENTION = r"(?i:att)\w*[./](?:[\w./]*[./])?"
_IN_MLP = r"(?i:mlp|ffn|feed_?forward|ff|experts?|DenseReluDense|densereludense)[./](?:[\w./]*[./])?"
ROLES: Mapping[str, re.Pattern[str]] = {
    "fused": re.compile(rf"{_IN_ATTENTION}(?:c_attn|qkv|qkv_proj|query_key_value|Wqkv|in_proj)$"),
    "query": re.compile(rf"{_IN_ATTENTION}(?:q|q_proj|q_lin|query|wq|to_q|q_attn)$"),
    "key": re.compile(rf"{_IN_ATTENTION}(?:k|k_proj|k_lin|key|wk|to_k)$"),
    "value": re.compile(rf"{_IN_ATTENTION}(?:v|v_proj|v_lin|value|wv|to_v)$"),
    "output": re.compile(rf"{_IN_ATTENTION}(?:o|o_proj|out_proj|out_lin|wo|to_out[./]0|c_proj|dense|proj)$"),
    "embedding": re.compile(r"(?:^|[./])(?:lm_head|embed_out)$"),
    "gate and up": re.compile(r"gate_up_proj$"),
    "gate": re.compile(rf"(?:gate_proj|wi_0|{_IN_MLP}w1)$"),
    "up": re.compile(
        rf"(?:up_proj|wi_1|wi|c_fc|fc_in|dense_h_to_4h|intermediate[./]dense|{_IN_MLP}(?:w3|fc1|lin1|linear1)|{_IN_LAYER}fc1)$"
    ),
    "down": re.compile(
        rf"(?:down_proj|fc_out|dense_4h_to_h|output[./]dense|{_IN_MLP}(?:w2|fc2|lin2|linear2|c_proj|wo)|{_IN_LAYER}fc2)$"
    ),
}
"""The layers of transformers by what their makers call them; the first that fits counts."""

_PARTNERS = (
    ("gate_up_proj", "down_proj"), ("gate_proj", "down_proj"), ("up_proj", "down_proj"), ("c_fc", "c_proj"),
    ("dense_h_to_4h", "dense_4h_to_h"), ("intermediate.dense", "output.dense"), ("fc1", "fc2"), ("lin1", "lin2"),
    ("linear1", "linear2"), ("wi", "wo"), ("wi_0", "wo"), ("wi_1", "wo"), ("fc_in", "fc_out"), ("w1", "w2"),
    ("w3", "w2"),
)  # fmt: skip


def reader_of(layer: str, source: Source, names: Mapping[str, Parameter]) -> Parameter | None:
    """The parameter that alone reads the units of a layer, where the model or the names of a transformer's MLP say."""
    known = source.readers.get(layer)
    if known is not None:
        return names.get(known)
    if role_of(layer) not in ("up", "gate", "gate and up"):
        return None
    for first, second in _PARTNERS:
        if (of_layer := layer.removesuffix(BESIDE_ADAPTERS)).endswith(first):
            reader = f"{of_layer.removesuffix(first)}{second}"
            return names.get(f"{reader}.weight") or names.get(f"{reader}{BESIDE_ADAPTERS}.weight")
    return None


def units_of(
    parameter: Parameter,
    form: Form,
    source: Source,
    array: np.ndarray,
    bias: np.ndarray | None,
    opposites_are_one: bool | None = None,
    *,
    with_heads: bool = True,
) -> Iterator[Units]:
    """The units of a parameter, as a whole and by head; a bias that has not one number for each is left aside.

    Whether opposites are one is asked where the source does not know it, and None is no.
    """
    layer, rows = parameter.layer, form.rows(array)
    if bias is not None and bias.shape != (len(rows),):
        bias = None

    def units(kind: str, part: slice | np.ndarray = slice(None), head: int | None = None) -> Units:
        of_part = None if bias is None else bias[part]
        known = True if kind in LINEAR_KINDS else False if kind == "embedding" else source.opposites_are_one(layer)
        return Units(layer, kind, head, rows[part], of_part, bool(opposites_are_one if known is None else known))

    for kind, part in _parts(layer, form, source, *rows.shape):
        yield units(kind, part)
        heads = source.heads(layer) if with_heads else None
        if heads is None:
            continue
        count = heads.query if kind in ("query", "output") else heads.key_value
        everywhere = np.arange(len(rows))[part]
        if kind in ("query", "key", "value") and len(everywhere) % count == 0:
            for head, of_head in enumerate(np.split(everywhere, count)):
                yield units(f"{kind} head", of_head, head)
        if kind == "output" and rows.shape[1] % count == 0:
            size = rows.shape[1] // count
            for head in range(count):
                # What each unit of the head writes.
                writes = rows[:, head * size : (head + 1) * size].T
                yield Units(layer, "output head", head, writes, None, True)


def _parts(layer: str, form: Form, source: Source, count: int, reads: int) -> list[tuple[str, slice | np.ndarray]]:
    """The kinds of a parameter's rows, and which rows these are."""
    if form.parts:
        return _equal(form.parts, count)
    if form.kind == BY_TURNS.kind:
        return [("gate", slice(0, None, 2)), ("up", slice(1, None, 2))]
    role = role_of(layer) if form.kind == "linear" else form.kind
    if role == "fused":
        return _fused(layer, source, count, reads)
    if role == "gate and up" and count % 2 == 0:
        return _equal(("gate", "up"), count)
    return [("linear" if role == "gate and up" else role, slice(None))]


def _fused(layer: str, source: Source, count: int, reads: int) -> list[tuple[str, slice | np.ndarray]]:
    heads = source.heads(layer)
    names = ("query", "key", "value")
    if layer.endswith("query_key_value"):
        # GPT-NeoX and BLOOM have the three of one head after another; others under this name differ.
        if heads is None or source.model_type not in ("gpt_neox", "bloom") or count % (3 * heads.query):
            return [("linear", slice(None))]
        of_head = np.arange(count).reshape(heads.query, 3, -1)
        return [(name, of_head[:, index].ravel()) for index, name in enumerate(names)]
    if heads is None:
        if count != 3 * reads:
            return [("linear", slice(None))]
        heads = Heads(1, 1)
    queries = heads.query + 2 * heads.key_value
    if count % queries:
        return [("linear", slice(None))]
    size = count // queries
    first, second = heads.query * size, (heads.query + heads.key_value) * size
    return list(zip(names, (slice(0, first), slice(first, second), slice(second, count)), strict=True))


def _equal(kinds: Sequence[str], count: int) -> list[tuple[str, slice | np.ndarray]]:
    """The kinds of as many blocks of rows, of one size."""
    size = count // len(kinds)
    return [(kind, slice(place * size, (place + 1) * size)) for place, kind in enumerate(kinds)]


def says_activation(kind: str, layer: str, source: Source) -> bool:
    """Whether it is known if opposite units of this kind do the same."""
    return (
        kind in LINEAR_KINDS
        or kind == "embedding"
        or kind.endswith(" gate")
        or source.opposites_are_one(layer) is not None
    )


def adds_beside(layer: str) -> bool:
    """Whether it is part of a low-rank adapter, whose product is added to the weights beside it."""
    return re.search(r"(?:^|\.)lora_(?:A|B|embedding_A|embedding_B)(?:\.|$)", layer) is not None


def says_heads(layer: str, kind: str, source: Source) -> bool:
    """Whether the heads are known of a layer that has some by its name."""
    has = kind in ("query", "key", "value", "output") or (kind == "linear" and role_of(layer) == "fused")
    return not has or source.heads(layer) is not None
