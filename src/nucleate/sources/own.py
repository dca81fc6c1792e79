"""Networks, convolutional networks and transformers of this package as sources: in memory, and in its own files.

Layers are called as in the tables of a training: ``conv1``, ``query2``, ``head``. A file has no forward pass; what it
says of its architecture in a line tells the heads, the activation and the pooling.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from safetensors import safe_open

from nucleate._arrays import real_array
from nucleate._files import parse_json, read_sealed, why_unreadable
from nucleate._wording import count
from nucleate.activations import activation_names, get_activation
from nucleate.architectures import ConvNetwork, Model, Transformer
from nucleate.devices import in_float64
from nucleate.errors import ArchitectureError
from nucleate.network import Network
from nucleate.sources.source import ROWS, TOKENS, Activity, Form, Heads, Parameter, Source, Traced, channels_last

_OUTPUTS = "no effective neurons: its units are outputs of the model, which no layer reads"
_UNTRACED = Traced(
    reasons={
        "head": _OUTPUTS,
        "unembedding": _OUTPUTS,
        "position": "no effective neurons: positions are the same in every row",
    }
)
"""Of models whose layers say themselves who reads them."""


def of_own(model: Network | Model) -> Source:
    """A model of this package as a source, with its forward pass."""
    if isinstance(model, Network):
        return _of_network(model)
    leaves = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(model)}
    parameters = [Parameter(place, leaf.shape, partial(np.asarray, leaf)) for place, leaf in leaves.items()]
    source = _named(type(model).__name__, parameters, repr(model))
    return replace(source, activity=partial(_activity, model), trace=lambda: _UNTRACED)


def of_own_file(file: Path, source: Source) -> Source:
    """What a file holds, with what it says of a model of this package; any other file's source as it is.

    A model's file that is damaged, or says that it holds what it does not, is refused.
    """
    if file.suffix != ".safetensors":
        return source
    with safe_open(file, framework="numpy") as opened:
        metadata = opened.metadata() or {}
    try:
        told = parse_json(metadata.get("nucleate", "{}").encode())
    except ValueError:
        return source  # somebody else's word
    if told.get("activation") in activation_names():
        return replace(_of_network(Network.load(file)), name=source.name)
    described = str(told.get("model", ""))
    if not described.startswith((_CONV, _TRANSFORMER)) or None in map(_name_of, source.names()):
        return source
    try:
        read_sealed(file)
    except (OSError, ValueError) as error:
        raise ArchitectureError(
            f"The model file {file} cannot be read ({why_unreadable(error)}); save the model again."
        ) from None
    return _named(source.name, source.parameters, described)


def _of_network(network: Network) -> Source:
    return fully_connected(
        repr(network),
        [np.asarray(weight) for weight in network.weights],
        list(network.biases),
        in_float64(network.activation),
        network.activation.parity != "none",
        ROWS,
    )


def fully_connected(
    name: str,
    weights: list[np.ndarray],
    biases: list[Any],
    activation: Callable[[Any], Any],
    symmetric: bool,
    form: Form,
    called: tuple[str, str] = ("weights", "biases"),
) -> Source:
    """A network whose layers read each the one before it; symmetric if its activation is odd or even."""
    parameters = [
        Parameter(f"{called[0]}.{layer}", weight.shape, partial(np.asarray, weight), form)
        for layer, weight in enumerate(weights)
    ]
    parameters += [
        Parameter(f"{called[1]}.{layer}", bias.shape, partial(np.asarray, bias))
        for layer, bias in enumerate(biases)
        if bias is not None
    ]
    hidden = [f"{called[0]}.{layer}" for layer in range(len(weights) - 1)]

    def activity(inputs: Any, replaced: Mapping[str, np.ndarray], _: Mapping[str, str]) -> Mapping[str, Activity]:
        now = [form.rows(np.asarray(replaced.get(f"{called[0]}.{k}", w), np.float64)) for k, w in enumerate(weights)]
        leaving, found = _rows_of(inputs, now[0].shape[1]).T, {}
        for layer, of_layer in enumerate(hidden):
            entering = now[layer] @ leaving
            if biases[layer] is not None:
                entering = entering + np.asarray(biases[layer], np.float64)[:, None]
            leaving = np.asarray(activation(entering), np.float64)
            found[of_layer] = Activity(leaving, now[layer + 1].T)
        return found

    return Source(
        name,
        parameters,
        readers={of_layer: f"{called[0]}.{layer + 1}" for layer, of_layer in enumerate(hidden)},
        opposites_are_one=lambda layer: symmetric or layer not in hidden,
        activity=activity,
        trace=lambda: Traced(reasons={f"{called[0]}.{len(hidden)}": _OUTPUTS}),
    )


def _rows_of(inputs: Any, columns: int) -> Float[np.ndarray, "n d"]:
    rows = real_array("The input", inputs)
    if rows.ndim != 2 or rows.shape[1] != columns or len(rows) == 0:
        raise ArchitectureError(f"The input has shape {rows.shape}; expected (rows, {columns}).")
    return rows


_NAMES: Sequence[tuple[str, Callable[[re.Match[str]], str]]] = (
    (r"\.(head|unembedding|embedding|position)", lambda found: f"{found[1]}.weight"),
    (r"\.(head|unembedding)_bias", lambda found: f"{found[1]}.bias"),
    (r"\.kernels\[(\d+)\]", lambda found: f"conv{int(found[1]) + 1}.weight"),
    (r"\.biases\[(\d+)\]", lambda found: f"conv{int(found[1]) + 1}.bias"),
    (
        r"\.blocks\[(\d+)\]\.(query|key|value|output|mlp_in|mlp_out)(_bias)?",
        lambda found: f"{found[2]}{int(found[1]) + 1}.{'bias' if found[3] else 'weight'}",
    ),
    (r"\.(norm_gains|norm_biases)\[(\d+)\]", lambda found: f"{found[1]}.{int(found[2]) + 1}"),
)
_ORDER = ("embedding", "position", "", "head", "unembedding", "norm")
_IN_A_BLOCK = ("query", "key", "value", "output", "mlp_in", "mlp_out")


def _in_order(name: str) -> tuple[int, int, int]:
    """Where a layer stands in its model; files have an order of their own."""
    kind, number = re.match(r"([a-z_]+)(\d*)", name).groups()  # type: ignore[union-attr]
    place = next((place for place, start in enumerate(_ORDER) if start and kind.startswith(start)), 2)
    return place, int(number or 0), _IN_A_BLOCK.index(kind) if kind in _IN_A_BLOCK else 0


def _name_of(place: str) -> str | None:
    """What a parameter is called, by its place in the model."""
    for pattern, name in _NAMES:
        if (found := re.fullmatch(pattern, place)) is not None:
            return name(found)
    return None


_CONV, _TRANSFORMER = f"{ConvNetwork.__name__}(", f"{Transformer.__name__}("


def _named(name: str, parameters: Sequence[Parameter], described: str) -> Source:
    """The parameters of a model of this package by their names, with what its description says."""
    names = {parameter.name: str(_name_of(parameter.name)) for parameter in parameters}
    is_conv = described.startswith(_CONV)
    parameters = sorted(parameters, key=lambda parameter: _in_order(names[parameter.name]))
    shapes = {names[parameter.name]: parameter.shape for parameter in parameters}
    said = described.rpartition(")")[0].partition("(")[2].split(", ")
    known = [get_activation(one) for one in said if one in activation_names()]
    odd_or_even = known[-1].parity != "none" if known else None
    heads = next((int(one.split()[0]) for one in said if re.match(r"\d+ heads?\b", one)), None)
    layers = [one.removesuffix(".weight") for one in shapes if one.endswith(".weight")]
    hidden = [layer for layer in layers if layer.startswith("conv" if is_conv else "mlp_in")]
    if misfit := _misfit(shapes, hidden, heads) if not is_conv else _misfit_of_kernels(shapes, hidden):
        raise ArchitectureError(
            f"{name} says that it holds {described}, and its arrays are no such model's: {misfit}; save the model "
            "again."
        )
    following = [*hidden[1:], "head"] if is_conv else [layer.replace("mlp_in", "mlp_out") for layer in hidden]
    # The largest of opposite signals is not the opposite of the largest.
    pooled = re.search(r"max pool ((?:\d+, )*\d+)", described)
    largest = {f"conv{place}" for place, by in enumerate(pooled[1].split(", "), 1) if by != "1"} if pooled else set()
    forms = {layer: _form_of(layer, is_conv, shapes, hidden, "tokens" in said[0]) for layer in layers}
    return Source(
        name,
        [
            replace(one, name=names[one.name], form=forms.get(names[one.name].removesuffix(".weight")))
            for one in parameters
        ],
        heads=lambda layer: None if heads is None else Heads(heads, heads),
        readers={layer: f"{reader}.weight" for layer, reader in zip(hidden, following, strict=True)},
        opposites_are_one=lambda layer: True if layer not in hidden else layer not in largest and odd_or_even,
    )


def _misfit(shapes: Mapping[str, tuple[int, ...]], hidden: Sequence[str], heads: int | None) -> str | None:
    """Why arrays are not those of a transformer with so many heads."""
    for name, shape in shapes.items():
        if not name.startswith(("query", "key", "value")) or not name.endswith(".weight"):
            continue
        if not heads or len(shape) != 2 or shape[0] % heads:
            by = "an unknown number of heads" if heads is None else count(heads, "head")
            return f"{name} of shape {shape} cannot be divided into {by}"
    if "query1.weight" not in shapes:
        return "there is no query1.weight"
    alone = [layer for layer in hidden if f"{layer.replace('mlp_in', 'mlp_out')}.weight" not in shapes]
    return f"nothing reads {alone[0]}" if alone else None


def _misfit_of_kernels(shapes: Mapping[str, tuple[int, ...]], hidden: Sequence[str]) -> str | None:
    """Why arrays are not those of a convolutional network."""
    missing = [name for name in ("conv1.weight", "head.weight") if name not in shapes]
    if missing:
        return f"there is no {missing[0]}"
    channels, head = shapes[f"{hidden[-1]}.weight"][0], shapes["head.weight"]
    if len(head) != 2 or not channels or head[1] % channels:
        return f"head.weight of shape {head} does not read the {count(channels, 'kernel')} of {hidden[-1]}"
    return None


_KINDS = {"mlp_in": "up", "mlp_out": "down", "unembedding": "linear", "head": "linear"}


def _form_of(
    layer: str, is_conv: bool, shapes: Mapping[str, tuple[int, ...]], hidden: Sequence[str], of_tokens: bool
) -> Form:
    if layer in hidden and is_conv:
        return channels_last(shapes[f"{layer}.weight"][-1], "kernel")
    if layer == "head":
        # Behind flattening a channel is read at each position.
        return channels_last(shapes[f"{hidden[-1]}.weight"][0], "linear")
    if layer == "position" or (layer == "embedding" and of_tokens):
        return TOKENS
    kind = re.sub(r"\d+$", "", layer)
    return Form(_KINDS.get(kind, kind if kind != "embedding" else "linear"), ROWS.rows, ROWS.columns)


def _activity(
    model: Model, inputs: Any, replaced: Mapping[str, np.ndarray], _: Mapping[str, str]
) -> Mapping[str, Activity]:
    def now(path: Any, leaf: Any) -> Any:
        array = replaced.get(str(_name_of(jax.tree_util.keystr(path))))
        return leaf if array is None else array.astype(leaf.dtype)

    rows = real_array("The input", inputs)
    layers = jax.tree_util.tree_map_with_path(now, model).layers(rows)
    return {layer.name: Activity(layer.leaving, layer.outgoing) for layer in layers}
