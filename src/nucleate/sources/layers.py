"""What PyTorch's layers are: how their arrays hold units, their heads, who reads them, and what they are called."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from nucleate.pytorch.exchange import import_torch
from nucleate.pytorch.layers import (
    EXPERTS,
    KEY_HEADS,
    QUERY_HEADS,
    Weights,
    fans_of_experts,
    first_number,
    is_linear,
    is_reader,
    weights_in,
)
from nucleate.sources.configurations import heads_in, is_activation_symmetric
from nucleate.sources.made import base_of, copies_in, made_by
from nucleate.sources.source import (
    BILINEAR,
    BY_TURNS,
    COLUMNS,
    GATES,
    IN_PROJ,
    KERNELS,
    ROWS,
    TOKENS,
    Form,
    Heads,
    transposed_kernels,
)
from nucleate.sources.tensors import why_no_parameter, without_wrappers
from nucleate.sources.tracing import acts_alone, parity_behind


def weight_of(module: Any) -> Any:
    """The weight of a module, or what is made of others in its place, as a forward pass in evaluation mode has it."""
    made = made_by(module).get("weight")
    return made() if made is not None else module.weight


def forms_of_experts(module: Any) -> list[Form]:
    """How a module that has the matrices of all its experts in one array each holds them, as their sizes tell."""
    fans = fans_of_experts(module)
    if not fans or any(why_no_parameter(module._parameters[name]) for name in EXPERTS):
        return []
    reads, hidden = fans["gate_up_proj"]
    if [tuple(module._parameters[name].shape[1:]) for name in EXPERTS] == [(2 * hidden, reads), (reads, hidden)]:
        return [ROWS, ROWS]
    return [BY_TURNS if type(module).__name__.startswith("GptOss") else COLUMNS, COLUMNS]


def experts_in(module: Any) -> Iterator[tuple[str, Any, Form | None]]:
    """The matrices of each expert, where a module has those of all in one array."""
    for name, form in zip(EXPERTS, forms_of_experts(module), strict=False):
        biases = module._parameters.get(f"{name}_bias")
        for expert, weights in enumerate(module._parameters[name]):
            yield f"{expert}.{name}.weight", weights, form
            if biases is not None:
                yield f"{expert}.{name}.bias", biases[expert], None


def forms_in(module: Any) -> Mapping[str, Form]:
    """What the arrays of a module hold, by its kind."""
    return {name: _form_of(weights) for name, weights in weights_in(base_of(module)).items()}


def _form_of(weights: Weights) -> Form:
    if weights.kind == "recurrent":
        return GATES[weights.blocks]
    if weights.kind != "kernel":
        return COLUMNS if weights.units == 1 else _FORMS[weights.kind]
    if weights.units == 1:
        return transposed_kernels(weights.groups)
    return KERNELS if weights.groups == 1 else Form("kernel", KERNELS.rows)


_FORMS = {
    "linear": ROWS,
    "output": Form("output", ROWS.rows, ROWS.columns),
    "embedding": TOKENS,
    "bilinear": BILINEAR,
    "attention": IN_PROJ,
} | {part: Form(part, ROWS.rows) for part in ("query", "key", "value")}


def why_no_units(module: Any, value: Any) -> str | None:
    """Why the units of an array of three axes are not known: in a kind of one's own it may be a stack of matrices."""
    bias = module._parameters.get("bias")
    if value.ndim != 3 or forms_in(module) or "conv" in type(module).__name__.lower():
        return None
    if bias is not None and bias.shape == value.shape[:1]:
        return None
    return "which of its 3 axes has the units is not known"


def _from_within(modules: Mapping[str, Any], layer: str) -> list[Any]:
    """The modules that a layer is in, from itself to the model."""
    parts = layer.split(".")
    paths = [".".join(parts[:length]) for length in range(len(parts), -1, -1)]
    return [modules[path] for path in paths if path in modules]


def heads_at(modules: Mapping[str, Any], layer: str) -> Heads | None:
    """The heads of the attention that a layer is part of, as its modules or a configuration above it say."""
    return next(filter(None, (_heads_of(module, layer) for module in _from_within(modules, layer))), None)


def _heads_of(module: Any, layer: str) -> Heads | None:
    queries, keys = (first_number(partial(getattr, module), names) for names in (QUERY_HEADS, KEY_HEADS))
    config = getattr(module, "config", None)
    known = None if config is None else heads_in(_settings(config), layer)
    if queries is None:
        return known
    return Heads(queries, keys or (known.key_value if known is not None and known.query == queries else queries))


def _settings(config: Any) -> Mapping[str, Any]:
    """What a configuration says, of whatever kind it is."""
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    return config if isinstance(config, Mapping) else getattr(config, "__dict__", {})


def _is_chain(module: Any) -> bool:
    """Whether each of its modules is given what the one before gives: a Sequential with no forward of its own."""
    nn = import_torch().nn
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def readers_in(modules: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Which parameter reads a layer's units: in a Sequential the next one's, if what is between acts on each alone."""
    nn = import_torch().nn
    for path, module in modules.items():
        if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
            yield name_within(path, "linear1"), name_within(path, "linear2.weight")
        if not _is_chain(module):
            continue
        before: str | None = None
        layer: Any = None
        for name, child in _layers_in(module):
            here = name_within(path, name)
            if is_linear(child):
                if before is not None and is_reader(child):
                    yield before, f"{here}.weight"
                before, layer = here, child
            elif before is not None and not acts_alone(child, layer):
                before = None


def _layers_in(sequence: Any) -> list[tuple[str, Any]]:
    """The modules of a Sequential; of one with adapters the layer of the model."""
    return [(name, base_of(child)) for name, child in sequence.named_children()]


def symmetric_in_sequence(modules: Mapping[str, Any]) -> Mapping[str, bool]:
    """For the layers of a Sequential whether what follows is odd or even, as far as it tells."""
    found = {}
    for path, module in modules.items():
        if not _is_chain(module):
            continue
        layers = list(_one_by_one(path, module))
        for place, (name, layer) in enumerate(layers, 1):
            if next(layer.parameters(), None) is not None:
                parity = parity_behind([behind for _, behind in layers[place:]], is_whole=not path)
                if parity is not None:
                    found[name] = parity
    return found


def _one_by_one(path: str, sequence: Any) -> Iterator[tuple[str, Any]]:
    """The modules of a Sequential, and of those in it."""
    for name, child in _layers_in(sequence):
        here = name_within(path, name)
        if _is_chain(child):
            yield from _one_by_one(here, child)
        else:
            yield here, child


def is_symmetric(modules: Mapping[str, Any], in_sequence: Mapping[str, bool], layer: str) -> bool | None:
    if layer in in_sequence:
        return in_sequence[layer]
    above = _from_within(modules, layer.rpartition(".")[0])
    config = next((known for one in above if (known := getattr(one, "config", None)) is not None), None)
    return None if config is None else is_activation_symmetric(_settings(config), layer)


def plain_names(model: Any) -> Callable[[str], str]:
    """What the parameters of a model are called without what wraps it, or a layer of it."""
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    without = without_wrappers(name for name, _ in named)
    acting = {
        name_within(path, f"{copies[0]}."): f"{path}."
        for path, module in model.named_modules()
        if (copies := copies_in(module)) is not None
    }

    def plain(name: str) -> str:
        within = next((place for place in acting if name.startswith(place)), "")
        return without(f"{acting[within]}{name.removeprefix(within)}" if within else name)

    return plain


def name_within(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def numbers_of_experts(module: Any) -> range:
    return range(len(module._parameters[EXPERTS[0]]))
