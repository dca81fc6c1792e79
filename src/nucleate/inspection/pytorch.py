"""PyTorch's modules and files as sources; PyTorch is imported only when one of them is given."""

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from nucleate._wording import count, listed, say_error, shown
from nucleate.errors import ArchitectureError, DataError, NucleateError
from nucleate.inspection.configurations import KEY_HEADS, QUERY_HEADS, heads_in, is_activation_symmetric, quantized
from nucleate.inspection.made import (
    Made,
    adds_only,
    base_of,
    copies_in,
    is_adapted,
    made_by,
    not_settled,
    part_of,
    unsettled_in,
    why_left_out,
)
from nucleate.inspection.sources import (
    BILINEAR,
    BY_TURNS,
    COLUMNS,
    GATES,
    IN_PROJ,
    KERNELS,
    ROWS,
    TOKENS,
    Activity,
    Form,
    Heads,
    Parameter,
    Source,
    no_weights,
    shared_with,
    transposed_kernels,
)
from nucleate.inspection.tracing import MIXES, SYMMETRIC, acts_alone, is_reader, trace_layers
from nucleate.observe.measures import MAX_ROWS
from nucleate.pytorch import import_torch, same_random_numbers
from nucleate.pytorch.exchange import refuse_script
from nucleate.pytorch.starts import count_gates

_WRAPPED = re.compile(
    r"(?:^|(?<=\.))(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module|base_model\.model)\."
)
_PARAMETRIZATION = re.compile(r"(?:^|\.)parametrizations\.")


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of PyTorch's."""
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "Tensor") and isinstance(value, torch.Tensor)


def read_saved(file: Path) -> tuple[list[Parameter], list[tuple[str, str]]]:
    """The parameters of a state dict that `torch.save` wrote, and what else is in the file.

    Raises
    ------
    DataError
        If it cannot be read without running code that it brings along, or is no state dict.
    NucleateError
        If PyTorch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise NucleateError(
            f"{file} is a file of PyTorch's, which is not installed; install it (pip install 'nucleate[torch]'), or "
            "save the model with safetensors."
        ) from None
    from pickle import UnpicklingError

    try:
        try:
            with warnings.catch_warnings():
                # That it would go on to run a program, which it is not let.
                warnings.simplefilter("ignore", UserWarning)
                content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            # Files of before PyTorch 1.6 cannot be mapped.
            if "mmap" not in str(error):
                raise
            content = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if "GLOBAL" in str(error) or "Unsupported" in str(error) or "weights_only" in str(error).split("\n")[0]:
            raise DataError(
                f"{file} wants to run code when it is opened, so it is not; where you trust it, load it yourself and "
                "save its weights alone: torch.save(model.state_dict(), ...)."
            ) from None
        raise DataError(f"{file} is no file of torch.save's; save the model again.") from None
    except KeyError:
        raise DataError(f"{file} is no file of torch.save's; save the model again.") from None
    except (RuntimeError, ValueError, EOFError, OSError, AttributeError) as error:
        if "TorchScript" in str(error):
            raise DataError(
                f"{file} is a TorchScript program, which is not run; load it yourself and save its weights alone: "
                "torch.save(torch.jit.load(...).state_dict(), ...)."
            ) from None
        why = "it is cut off or damaged" if "zip archive" in str(error) else say_error(error)[:120]
        raise DataError(f"{file} is no readable file of torch.save's ({why}); save it again.") from None
    state, aside = _state_in(content, file)
    parameters, left_out = of_state(state)
    return parameters, left_out + [(name, "it stands beside the state dict that is measured") for name in aside]


def _state_in(content: Any, file: Path) -> tuple[Mapping[str, Any], list[str]]:
    """The state dict in what a file holds, and what else it holds."""
    if not isinstance(content, Mapping):
        raise DataError(
            f"{file} holds {'a tensor' if is_tensor(content) else f'a {type(content).__name__}'} and no state dict; "
            "save model.state_dict()."
        )
    for key in ("state_dict", "model_state_dict", "model", "module", "net", "weights", "params"):
        within = content.get(key)
        if isinstance(within, Mapping) and any(is_tensor(value) for value in within.values()):
            return {str(name): value for name, value in within.items()}, [str(name) for name in content if name != key]
    if any(is_tensor(value) for value in content.values()):
        return {str(name): value for name, value in content.items()}, []
    raise DataError(
        f"{file} holds no state dict, but {listed(shown(str(name)) for name in content) or 'nothing'}; save "
        "model.state_dict()."
    )


def of_state(state: Mapping[str, Any]) -> tuple[list[Parameter], list[tuple[str, str]]]:
    """The tensors of a state dict as parameters, each once, and those that are none."""
    parameters: list[Parameter] = []
    left_out: list[tuple[str, str]] = []
    first: dict[Any, str] = {}
    plain = _without_wrappers(map(str, state))
    named = {plain(str(name)): value for name, value in state.items()}
    for name, value in named.items():
        reason = _unreadable(value) or quantized(name, named) or _shared(value, name, first)
        if reason is not None:
            left_out.append((name, reason))
        else:
            parameters.append(Parameter(name, tuple(value.shape), partial(to_numpy, value)))
    return parameters, left_out


def _without_wrappers(names: Iterable[str]) -> Callable[[str], str]:
    """What parameters are called without what wraps their model, as far as no two are then called the same."""
    names = list(names)

    def plain(name: str) -> str:
        return _WRAPPED.sub("", name)

    return plain if len({*map(plain, names)}) == len({*names}) else str


def _shared(tensor: Any, name: str, first: dict[Any, str]) -> str | None:
    """Why a tensor is left out that another name had first."""
    place = tensor.data_ptr() or id(tensor), tuple(tensor.shape), tuple(tensor.stride())
    known = first.setdefault(place, name)
    return None if known == name else shared_with(known)


def _unreadable(value: Any) -> str | None:
    """Why a value is no parameter that can be read."""
    if not is_tensor(value):
        return f"it is a {type(value).__name__}, not a tensor"
    kind = type(value).__name__
    if value.is_nested:
        return "it is nested, of parts with shapes of their own; inspect these"
    if hasattr(value, "placements") and not _is_whole(value):
        return "it is sharded over processes; gather it with full_tensor() first"
    if kind in ("FlatParameter", "UninitializedParameter"):
        remedy = "gather the full state dict" if kind == "FlatParameter" else "run the model once"
        return f"it is a {kind}, whose layer's shape is not there; {remedy} first"
    if value.device.type == "meta":
        return "it is on the meta device and has no numbers; load the weights first"
    if value.is_quantized or (kind in ("Params4bit", "Int8Params", "AffineQuantizedTensor", "QTensor")):
        return f"it is quantized ({kind}); dequantize the model first"
    if not hasattr(value, "placements") and import_torch().utils._python_dispatch.is_traceable_wrapper_subclass(value):
        return f"it is a {kind}, which is made of other tensors; convert it to a plain one first"
    if value.is_sparse or value.layout is not import_torch().strided:
        return "it is sparse; make it dense first"
    if not value.dtype.is_floating_point:
        return no_weights(str(value.dtype).removeprefix("torch."))
    return None


def _is_whole(sharded: Any) -> bool:
    """Whether all of a distributed tensor is in this process: of one process, or the same in each."""
    return sharded.device_mesh.size() == 1 or all(one.is_replicate() for one in sharded.placements)


def to_numpy(tensor: Any) -> np.ndarray:
    """The numbers of a tensor, exactly: those of 16 bits and fewer in float32."""
    tensor = tensor.detach()
    if hasattr(tensor, "placements"):
        tensor = tensor.to_local()
    if tensor.dtype not in (import_torch().float32, import_torch().float64):
        tensor = tensor.float()
    array: np.ndarray = tensor.resolve_neg().cpu().numpy()
    return array


def open_module(model: Any) -> Source:
    """A module of PyTorch's as it is: nothing of it is changed."""
    while isinstance(within := getattr(model, "_orig_mod", None), import_torch().nn.Module):
        model = within
    refuse_script(model)
    _refuse_flattened(model)
    plain = _plain(model)
    modules = {plain(f"{name}.").removesuffix("."): module for name, module in model.named_modules()}
    adapted = {path: module for path, module in modules.items() if is_adapted(module)}
    idle = tuple(
        plain(f"{_within(path, place)}.")
        for path, module in model.named_modules()
        for place in (copies_in(module) or ("", []))[1]
    )
    parameters: list[Parameter] = []
    left_out: list[tuple[str, str]] = []
    first: dict[Any, str] = {}
    for path, module in modules.items():
        is_part = any(path != above and f"{path}.".startswith(f"{above}.".lstrip(".")) for above in adapted)
        if is_part or _PARAMETRIZATION.search(path):
            # What a weight is made of is measured as what is made.
            continue
        if f"{path}.".startswith(idle):
            left_out += [(_within(path, own), "another one acts in its place") for own in module._parameters]
            continue
        for own, value, read, form in _tensors_of(module):
            name = _within(path, own)
            reason = _unreadable(value) or _shared(value, name, first)
            if reason is not None:
                left_out.append((name, reason))
                continue
            parameters.append(Parameter(name, tuple(value.shape), read, form))
        if path in adapted:
            left_out += [
                (_within(path, part), why_left_out(module, part, _within(path, "weight")))
                for part, _ in module.named_parameters()
            ]
            continue
        for own, made in made_by(module).items():
            trained = [part for part, value in made.parts.items() if isinstance(value, import_torch().nn.Parameter)]
            left_out += [(_within(path, part), part_of(_within(path, own))) for part in trained]
    left_out += [(plain(name), "it is a buffer, which is not trained") for name, _ in model.named_buffers()]
    config = getattr(model, "config", None)
    return Source(
        type(model).__name__,
        parameters,
        left_out,
        heads=cache(partial(_heads, modules)),
        model_type=str(getattr(config, "model_type", "")),
        readers=dict(_readers(modules)),
        opposites_are_one=cache(partial(_symmetric, modules, _symmetric_in_sequence(modules))),
        activity=partial(_activity, model, modules),
        trace=partial(trace_layers, model, modules),
        remake=partial(_remade, modules),
        notes=lambda: not_settled(
            [_within(path, own).removesuffix(".weight") for path, one in modules.items() for own in unsettled_in(one)]
        ),
    )


def _plain(model: Any) -> Callable[[str], str]:
    """What the parameters of a model are called without what wraps it, or a layer of it."""
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    without = _without_wrappers(name for name, _ in named)
    acting = {
        _within(path, f"{copies[0]}."): f"{path}."
        for path, module in model.named_modules()
        if (copies := copies_in(module)) is not None
    }

    def plain(name: str) -> str:
        within = next((place for place in acting if name.startswith(place)), "")
        return without(f"{acting[within]}{name.removeprefix(within)}" if within else name)

    return plain


def _remade(modules: Mapping[str, Any], parts: Mapping[str, Parameter]) -> Iterator[Parameter]:
    """The weights that the modules make of such parts as of their own."""
    for path, module in modules.items():
        for own, made in made_by(module).items():
            theirs = {part: parts[name] for part in made.parts if (name := _within(path, part)) in parts}
            if {part: one.shape for part, one in theirs.items()} == {
                part: tuple(one.shape) for part, one in made.parts.items()
            }:
                like = made.like if made.like is not None else made()
                yield Parameter(_within(path, own), tuple(like.shape), partial(_remake, made, theirs))


def _read_made(made: Made) -> np.ndarray:
    return to_numpy(made())


def _remake(made: Made, parts: Mapping[str, Parameter]) -> np.ndarray:
    def tensor(part: str) -> Any:
        now = made.parts[part]
        return import_torch().as_tensor(np.array(parts[part].read())).to(now.device, now.dtype)

    return to_numpy(made.make({part: tensor(part) for part in parts}))


def _refuse_flattened(model: Any) -> None:
    for name, module in model.named_modules():
        if is_flattened(module):
            raise ArchitectureError(
                f"{name or 'The model'} is wrapped in FullyShardedDataParallel, of whose weights each process has a "
                "part without its shape; inspect the full state dict, or use DistributedDataParallel while you watch."
            )


def is_flattened(module: Any) -> bool:
    """Whether it is a wrapper that leaves no weight whole."""
    strategy = getattr(getattr(module, "sharding_strategy", None), "name", "NO_SHARD")
    return type(module).__name__ == "FullyShardedDataParallel" and strategy != "NO_SHARD"


def _tensors_of(module: Any) -> Iterator[tuple[str, Any, Callable[[], np.ndarray], Form | None]]:
    """A module's own weights, and how they are read: parameters, and what is made of others."""
    forms, made = _forms(module), made_by(module)
    parts = {part for one in made.values() for part in one.parts}
    packed = getattr(module, "_packed_params", None)
    # A weight that a parametrization makes is asked for below alone.
    if packed is not None and callable(getattr(module, "weight", None)):
        # PyTorch's own quantized layers give their weight by a method.
        weight = module.weight()
        yield "weight", weight, partial(to_numpy, weight), ROWS
    experts = list(_experts(module))
    for name, value, form in experts:
        yield name, value, partial(to_numpy, value), form
    for name in dict.fromkeys([*module._parameters, *made]):
        if name in parts or (experts and name.removesuffix("_bias") in _EXPERTS):
            continue
        if (one := made.get(name)) is not None and one.like is not None:
            yield name, one.like, partial(_read_made, one), forms.get(name)
        elif (value := one() if one is not None else module._parameters[name]) is not None:
            yield name, value, partial(to_numpy, value), forms.get(name)


def _weight(module: Any) -> Any:
    """The weight of a module, or what is made of others in its place, as a forward pass in evaluation mode has it."""
    made = made_by(module).get("weight")
    return made() if made is not None else module.weight


_EXPERTS = ("gate_up_proj", "down_proj")


def _forms_of_experts(module: Any) -> list[Form]:
    """How a module that has the matrices of all its experts in one array each holds them, as their sizes tell."""
    both = [module._parameters.get(name) for name in _EXPERTS]
    if any(one is None or one.ndim != 3 or _unreadable(one) for one in both):
        return []
    (_, first, second), (_, third, fourth) = (tuple(one.shape) for one in both)
    if (first, second) == (2 * fourth, third):
        return [ROWS, ROWS]
    if (second, first) == (2 * third, fourth):
        return [BY_TURNS if type(module).__name__.startswith("GptOss") else COLUMNS, COLUMNS]
    return []


def _experts(module: Any) -> Iterator[tuple[str, Any, Form | None]]:
    """The matrices of each expert, where a module has those of all in one array."""
    for name, form in zip(_EXPERTS, _forms_of_experts(module), strict=False):
        biases = module._parameters.get(f"{name}_bias")
        for expert, weights in enumerate(module._parameters[name]):
            yield f"{expert}.{name}.weight", weights, form
            if biases is not None:
                yield f"{expert}.{name}.bias", biases[expert], None


def _forms(module: Any) -> Mapping[str, Form]:
    """What the arrays of a module hold, by its kind."""
    nn, module = import_torch().nn, base_of(module)
    kinds: list[tuple[Any, Callable[[], Mapping[str, Form]]]] = [
        # What PyTorch's attention writes with.
        (
            nn.modules.linear.NonDynamicallyQuantizableLinear,
            lambda: {"weight": Form("output", ROWS.rows, ROWS.columns)},
        ),
        (nn.Linear, lambda: {"weight": ROWS}),
        ((nn.Embedding, nn.EmbeddingBag), lambda: {"weight": TOKENS}),
        (
            (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
            lambda: {"weight": transposed_kernels(module.groups)},
        ),
        ((nn.Conv1d, nn.Conv2d, nn.Conv3d), lambda: {"weight": KERNELS if module.groups == 1 else _GROUPED}),
        (nn.MultiheadAttention, lambda: _of_attention(module)),
        (nn.RNNBase, lambda: _of_recurrent(module)),
        (nn.RNNCellBase, lambda: dict.fromkeys(("weight_ih", "weight_hh"), _gates(module.weight_hh))),
        (nn.Bilinear, lambda: {"weight": BILINEAR}),
    ]
    for kind, forms in kinds:
        if isinstance(module, kind):
            return forms()
    if type(module).__name__ == "Conv1D" and hasattr(module, "nf"):
        return {"weight": COLUMNS}
    return {}


_GROUPED = Form("kernel", KERNELS.rows)


def _of_attention(module: Any) -> Mapping[str, Form]:
    return {"in_proj_weight": IN_PROJ} | {
        f"{part[0]}_proj_weight": Form(part, ROWS.rows) for part in ("query", "key", "value")
    }


def _of_recurrent(module: Any) -> Mapping[str, Form]:
    return {
        name: ROWS if name.startswith("weight_hr") else GATES[count_gates(module.mode)]
        for name in module._flat_weights_names
        if name.startswith("weight")
    }


def _gates(recurrent: Any) -> Form:
    return GATES[recurrent.shape[0] // recurrent.shape[1]]


def _heads(modules: Mapping[str, Any], layer: str) -> Heads | None:
    """The heads of the attention that a layer is part of, as its modules or a configuration above it say."""
    path = layer
    while True:
        module = modules.get(path)
        if module is not None:
            found = _heads_of(module, layer)
            if found is not None:
                return found
        if not path:
            return None
        path = path.rpartition(".")[0]


def _heads_of(module: Any, layer: str) -> Heads | None:
    queries = next(
        (value for name in QUERY_HEADS if isinstance(value := getattr(module, name, None), int) and value > 0), None
    )
    config = getattr(module, "config", None)
    known = None if config is None else heads_in(_settings(config), layer)
    if queries is None:
        return known
    keys = next(
        (value for name in KEY_HEADS if isinstance(value := getattr(module, name, None), int) and value > 0), None
    )
    return Heads(queries, keys or (known.key_value if known is not None and known.query == queries else queries))


def _settings(config: Any) -> Mapping[str, Any]:
    """What a configuration says, of whatever kind it is."""
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    return config if isinstance(config, Mapping) else getattr(config, "__dict__", {})


def _readers(modules: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Which parameter reads a layer's units: in a Sequential the next one's, if what is between acts on each alone."""
    nn = import_torch().nn
    for path, module in modules.items():
        if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
            yield f"{path}.linear1".lstrip("."), f"{path}.linear2.weight".lstrip(".")
        if not isinstance(module, nn.Sequential):
            continue
        before: str | None = None
        for name, child in _layers_in(module):
            here = f"{path}.{name}" if path else name
            if isinstance(child, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
                if before is not None and is_reader(child):
                    yield before, f"{here}.weight"
                before = here
            elif not acts_alone(child):
                before = None


def _layers_in(sequence: Any) -> list[tuple[str, Any]]:
    """The modules of a Sequential; of one with adapters the layer of the model."""
    return [(name, base_of(child)) for name, child in sequence.named_children()]


def _symmetric_in_sequence(modules: Mapping[str, Any]) -> Mapping[str, bool]:
    """For the layers of a Sequential whether the activation that follows is odd or even, as none behind the last is."""
    nn, found = import_torch().nn, {}
    for path, module in modules.items():
        if not isinstance(module, nn.Sequential):
            continue
        before: str | None = None
        for name, child in _layers_in(module):
            kind = type(child)
            if kind.__module__ == "torch.nn.modules.activation" and kind.__name__ not in MIXES:
                if before is not None:
                    found[before] = kind.__name__ in SYMMETRIC
                before = None
            elif next(child.parameters(recurse=False), None) is not None:
                before = None if isinstance(child, nn.modules.batchnorm._BatchNorm) else f"{path}.{name}".lstrip(".")
            elif not acts_alone(child):
                before = None
        if not path and before is not None:
            # What the model gives is what its last layer gives, which has no activation.
            found[before] = True
    return found


def _symmetric(modules: Mapping[str, Any], in_sequence: Mapping[str, bool], layer: str) -> bool | None:
    if layer in in_sequence:
        return in_sequence[layer]
    path = layer
    while path:
        path = path.rpartition(".")[0]
        config = getattr(modules.get(path), "config", None)
        if config is not None:
            return is_activation_symmetric(_settings(config), layer)
    return None


def _activity(
    model: Any, modules: Mapping[str, Any], inputs: Any, replaced: Mapping[str, np.ndarray], readers: Mapping[str, str]
) -> Mapping[str, Activity]:
    """What the layers that are read by one other give it, in one forward pass in evaluation mode without gradients.

    Buffers, modes and random numbers are as before afterwards.
    """
    torch = import_torch()
    taken: dict[str, np.ndarray] = {}
    of_experts = {path: forms for path, module in modules.items() if (forms := _forms_of_experts(module))}
    experts_of = {
        _within(path, f"{expert}.down_proj"): (path, expert)
        for path in of_experts
        for expert in _numbers(modules[path])
    }
    readers = {
        layer: name
        for layer, name in readers.items()
        if (reader := name.removesuffix(".weight")) in modules or reader in experts_of
    }
    plain = _plain(model)
    own_names = {plain(name): name for name, _ in model.named_parameters(remove_duplicate=False)}
    at_base = {id(one): name for name, one in model.named_parameters()}
    # Beside adapters stands what with them is the drawn matrix.
    beside = {_within(path, "weight"): module for path, module in modules.items() if is_adapted(module)}
    beside = {name: module for name, module in beside.items() if name in replaced and adds_only(module)}
    of_one = {
        _within(path, f"{expert}.{own}.weight")
        for path in of_experts
        for expert in _numbers(modules[path])
        for own in _EXPERTS
    }
    if any(name not in own_names and name not in of_one and name not in beside for name in replaced):
        # In the place of what is made of other parameters none can be drawn.
        return {}
    state = {name: buffer.clone() for name, buffer in model.named_buffers()}
    made = {module: made_by(module) for module in model.modules() if module._forward_pre_hooks}
    for name, array in replaced.items():
        if name in own_names:
            like = model.get_parameter(own_names[name])
            state[own_names[name]] = torch.as_tensor(array).to(like.device, like.dtype)
        if name in beside:
            base = base_of(beside[name]).weight.detach()
            drawn = torch.as_tensor(array).to(base.device, base.dtype)
            state[at_base[id(base_of(beside[name]).weight)]] = base + drawn - _weight(beside[name])
    for path in of_experts if replaced else ():
        for own in _EXPERTS:
            whole = modules[path]._parameters[own].detach().clone()
            for expert, of_one in enumerate(whole):
                if (drawn := replaced.get(_within(path, f"{expert}.{own}.weight"))) is not None:
                    of_one.copy_(torch.as_tensor(drawn))
            state[own_names[_within(path, own)]] = whole
    training = {module: module.training for module in model.modules()}
    # Hooks put what they make into attributes.
    attributes = {
        module: {name: vars(module)[name] for name in of if name in vars(module)} for module, of in made.items()
    }
    hooks = [
        modules[reader].register_forward_pre_hook(partial(_take, taken, reader))
        for reader in {name.removesuffix(".weight") for name in readers.values()} - set(experts_of)
    ]
    hooks += [
        modules[path].register_forward_pre_hook(partial(_take_of_experts, taken, path, forms[0]), with_kwargs=True)
        for path, forms in of_experts.items()
        if hasattr(modules[path], "_apply_gate")
    ]
    arguments, named = _arguments(model, inputs)
    try:
        model.eval()
        with torch.no_grad(), same_random_numbers():
            torch.func.functional_call(model, state, arguments, named)
    except ArchitectureError:
        raise
    except Exception as error:
        raise ArchitectureError(
            f"The model {type(model).__name__} cannot take the inputs ({say_error(error)[:200]}); give a batch as it "
            "takes them: a tensor, an array, or a dict of its arguments."
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in training.items():
            module.training = mode
            for name, value in attributes.get(module, {}).items():
                setattr(module, name, value)
    # On one row no unit varies.
    several = {reader: rows for reader, rows in taken.items() if rows.shape[1] > 1}
    if taken and not several:
        raise ArchitectureError(
            f"The inputs give the units {count(max(rows.shape[1] for rows in taken.values()), 'row')}, on which "
            "nothing varies; give a batch of several."
        )
    taken, found = several, {}
    form: Form | None
    for layer, name in readers.items():
        reader = name.removesuffix(".weight")
        if reader not in taken:
            continue
        if reader in experts_of:
            path, expert = experts_of[reader]
            form, own = of_experts[path][1], modules[path].down_proj[expert]
        else:
            form, own = _forms(modules[reader]).get("weight"), _weight(modules[reader])
        if form is not None and form.columns is not None:
            weights = replaced[name] if name in replaced else to_numpy(own)
            found[layer] = Activity(taken[reader], form.columns(weights))
    return found


def _take(taken: dict[str, np.ndarray], reader: str, module: Any, inputs: tuple[Any, ...]) -> None:
    """What enters a module at its first call, a row a unit, at up to 512 evenly spaced positions."""
    if reader in taken or not inputs or not is_tensor(inputs[0]):
        return
    entering = inputs[0].detach()
    by_unit = entering.movedim(1, -1) if _forms(module).get("weight") is KERNELS else entering
    taken[reader] = to_numpy(_some(by_unit.reshape(-1, by_unit.shape[-1]))).T


def _some(rows: Any) -> Any:
    """What is looked at of a signal, before any of it is copied."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), MAX_ROWS)).astype(int)
    return rows[import_torch().from_numpy(places).to(rows.device)]


def _within(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _numbers(module: Any) -> range:
    return range(len(module._parameters[_EXPERTS[0]]))


def _take_of_experts(
    taken: dict[str, np.ndarray], path: str, form: Form, module: Any, arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """What the hidden units of each expert give for the rows that are routed to it, as transformers' experts do it."""
    signal, routes = [*arguments, *named.values(), None, None][:2]
    if not (is_tensor(signal) and is_tensor(routes)) or routes.is_floating_point():
        return
    signal = signal.detach().reshape(-1, signal.shape[-1])
    routes = routes.reshape(len(signal), -1)
    for expert in _numbers(module):
        rows = _some(signal[(routes == expert).any(dim=1)])
        weights = module.gate_up_proj[expert]
        entering = rows @ (weights.T if form is ROWS else weights)
        if (biases := module._parameters.get("gate_up_proj_bias")) is not None:
            entering = entering + biases[expert]
        taken.setdefault(_within(path, f"{expert}.down_proj"), to_numpy(module._apply_gate(entering)).T)


def _arguments(model: Any, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A batch as a module is called with it."""
    torch = import_torch()
    first = next(model.parameters())

    def tensor(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = torch.as_tensor(value)
            value = value.to(first.dtype) if value.is_floating_point() else value
        return value.to(first.device) if is_tensor(value) else value

    if isinstance(inputs, Mapping):
        return (), {str(name): tensor(value) for name, value in inputs.items()}
    if isinstance(inputs, (tuple, list)) and any(isinstance(one, np.ndarray) or is_tensor(one) for one in inputs):
        return tuple(map(tensor, inputs)), {}
    rows = inputs if is_tensor(inputs) else np.asarray(inputs)
    if not is_tensor(rows) and rows.dtype.kind not in "fiub":
        raise ArchitectureError(f"The inputs {shown(inputs)} are no numbers; give a tensor, an array, or a dict.")
    return (tensor(rows),), {}
