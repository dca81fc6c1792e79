"""The heads of attention layers that are written as several projections: whole heads stay or go.

With grouped queries a unit is a head of keys and values together with the heads of queries that share it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nucleate.pytorch.layers import KEY_HEADS, QUERY_HEADS, first_number
from nucleate.reduction.modules.units import Cut, Units

_SEPARATE = (("q_proj", "k_proj", "v_proj"), ("query", "key", "value"), ("q_lin", "k_lin", "v_lin"), ("q", "k", "v"))
_FUSED = ("c_attn", "qkv", "query_key_value", "qkv_proj")
_OUT = ("o_proj", "out_proj", "c_proj", "out_lin", "dense", "proj", "o")
_INNER = ("all_head_size", "split_size", "inner_dim")


@dataclass(frozen=True, eq=False)
class Attention:
    """An attention layer: its projections, or one of queries, keys and values together, and what reads the heads."""

    name: str
    projections: tuple[str, ...]
    out: str
    heads: int
    key_heads: int


def attentions(module: Any, size_of: Callable[[Any], int]) -> Iterator[Attention]:
    """Those of a module, by the customary names of their projections, whose outputs ``size_of`` counts."""
    for name, layer in module.named_modules():
        own = dict(layer.named_children())
        choices: tuple[tuple[str, ...], ...] = (*_SEPARATE, *((part,) for part in _FUSED))
        names = next((one for one in choices if all(part in own for part in one)), None)
        holders = (layer, getattr(layer, "config", None))
        heads = next(filter(None, (first_number(partial(getattr, one), QUERY_HEADS) for one in holders)), None)
        out = next((f"{name}.{part}".lstrip(".") for part in _OUT if part in own), None) or _beside(module, name)
        if names is None or heads is None or out is None:
            continue
        try:
            sizes = [size_of(own[part]) for part in names]
        except AttributeError:
            continue
        inner = sizes[0] // (3 if len(names) == 1 else 1)
        if inner % heads:
            continue
        key_heads = sizes[1] * heads // inner if len(names) == 3 else heads
        yield Attention(name, tuple(f"{name}.{part}".lstrip(".") for part in names), out, heads, key_heads)


def heads_of(module: Any, attention: Attention, pruner_of: Callable[[Any], Any]) -> Units:
    """The heads as units; ``pruner_of`` gives what narrows a layer."""
    layers = [module.get_submodule(name) for name in attention.projections]
    fused = len(layers) == 1
    inner = pruner_of(layers[0]).get_out_channels(layers[0]) // (3 if fused else 1)
    # One head of keys that all share stays; the heads of queries go one by one.
    shared = attention.key_heads == 1 < attention.heads
    number = attention.heads if shared else attention.key_heads
    width, each = inner // number, inner // attention.heads
    of_queries = tuple(np.arange(unit * width, (unit + 1) * width) for unit in range(number))
    of_keys = tuple(np.arange(unit * each, (unit + 1) * each) for unit in range(number))
    if fused:
        places = [tuple(np.concatenate([own + part * inner for part in range(3)]) for own in of_queries)]
    else:
        places = [of_queries] if shared else [of_queries, of_keys, of_keys]
    cuts = tuple(
        Cut(name, "out", pruner_of(layer).prune_out_channels, own)
        for name, layer, own in zip(attention.projections, layers, places, strict=False)
    )
    out = module.get_submodule(attention.out)
    reader = Cut(attention.out, "in", pruner_of(out).prune_in_channels, of_queries)

    def set_numbers(small: Any, left: Sequence[int] | np.ndarray) -> None:
        layer = small.get_submodule(attention.name)
        per_unit = attention.heads // number
        for names, value in (
            (QUERY_HEADS, len(left) * per_unit),
            (KEY_HEADS, attention.key_heads if shared else len(left)),
            (_INNER, len(left) * width),
            (("num_key_value_groups",), len(left) if shared else per_unit),
        ):
            for own in names:
                if isinstance(getattr(layer, own, None), int):
                    setattr(layer, own, value)

    return Units(attention.name, "heads", cuts, (reader,), set_numbers)


def _beside(module: Any, name: str) -> str | None:
    """What reads the heads where that is a layer of its own, as in BERT."""
    out = f"{name.rpartition('.')[0]}.output.dense".lstrip(".")
    try:
        module.get_submodule(out)
    except AttributeError:
        return None
    return out
