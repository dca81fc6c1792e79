"""What the layers of a PyTorch module do on a batch, in one forward pass that leaves it as it was."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from nucleate._wording import count, say_error, shown
from nucleate.errors import ArchitectureError
from nucleate.observe.measures import MAX_ROWS
from nucleate.pytorch.exchange import evaluating, hooked, import_torch, same_random_numbers
from nucleate.pytorch.layers import EXPERTS, kind_of
from nucleate.sources.layers import (
    forms_in,
    forms_of_experts,
    name_within,
    numbers_of_experts,
    plain_names,
    weight_of,
)
from nucleate.sources.made import adds_only, base_of, is_adapted
from nucleate.sources.source import ROWS, Activity, Form
from nucleate.sources.tensors import is_tensor, to_numpy


def activity_on(
    model: Any, modules: Mapping[str, Any], inputs: Any, replaced: Mapping[str, np.ndarray], readers: Mapping[str, str]
) -> Mapping[str, Activity]:
    """What the layers that are read by one other give it, in one forward pass in evaluation mode without gradients.

    Buffers, modes, what a pass keeps for the next one, and random numbers are as before afterwards.
    """
    torch = import_torch()
    if lazy := [name for name, one in model.named_parameters() if torch.nn.parameter.is_lazy(one)]:
        raise ArchitectureError(
            f"{lazy[0]} has no shape yet, and a pass on the inputs would give it one and draw its numbers; run the "
            "model once on a batch first."
        )
    of_experts = {path: forms for path, module in modules.items() if (forms := forms_of_experts(module))}
    experts_of = {
        name_within(path, f"{expert}.down_proj"): (path, expert)
        for path in of_experts
        for expert in numbers_of_experts(modules[path])
    }
    readers = {
        layer: name
        for layer, name in readers.items()
        if (reader := name.removesuffix(".weight")) in modules or reader in experts_of
    }
    state = _state_with(model, modules, of_experts, replaced)
    if state is None:
        return {}
    arguments, named = _arguments(model, inputs)
    taken: dict[str, np.ndarray] = {}
    try:
        with (
            evaluating(model),
            hooked(
                modules[reader].register_forward_pre_hook(partial(_take, taken, reader))
                for reader in {name.removesuffix(".weight") for name in readers.values()} - set(experts_of)
            ),
            hooked(
                modules[path].register_forward_pre_hook(
                    partial(_take_of_experts, taken, path, forms[0]), with_kwargs=True
                )
                for path, forms in of_experts.items()
                if hasattr(modules[path], "_apply_gate")
            ),
            torch.no_grad(),
            same_random_numbers(),
        ):
            torch.func.functional_call(model, state, arguments, named)
    except ArchitectureError:
        raise
    except Exception as error:
        raise ArchitectureError(
            f"The model {type(model).__name__} cannot take the inputs ({say_error(error)[:200]}); give a batch as it "
            "takes them: a tensor, an array, or a dict of its arguments."
        ) from None
    # On one row no unit varies.
    several = {reader: rows for reader, rows in taken.items() if rows.shape[1] > 1}
    if taken and not several:
        raise ArchitectureError(
            f"The inputs give the units {count(max(rows.shape[1] for rows in taken.values()), 'row')}, on which "
            "nothing varies; give a batch of several."
        )
    found: dict[str, Activity] = {}
    form: Form | None
    for layer, name in readers.items():
        reader = name.removesuffix(".weight")
        if reader not in several:
            continue
        if reader in experts_of:
            path, expert = experts_of[reader]
            form, own = of_experts[path][1], modules[path].down_proj[expert]
        else:
            form, own = forms_in(modules[reader]).get("weight"), weight_of(modules[reader])
        if form is not None and form.columns is not None:
            weights = replaced[name] if name in replaced else to_numpy(own)
            found[layer] = Activity(several[reader], form.columns(weights))
    return found


def _state_with(
    model: Any, modules: Mapping[str, Any], experts: Iterable[str], replaced: Mapping[str, np.ndarray]
) -> dict[str, Any] | None:
    """The buffers, and parameters with other arrays in the place of some: what a forward pass is to be of.

    None if one stands for what the model makes of other parameters, in whose place none can be put.
    """
    torch, plain = import_torch(), plain_names(model)
    own_names = {plain(name): name for name, _ in model.named_parameters(remove_duplicate=False)}
    at_base = {id(one): name for name, one in model.named_parameters()}
    # Beside adapters stands what with them is the drawn matrix.
    beside = {name_within(path, "weight"): module for path, module in modules.items() if is_adapted(module)}
    beside = {name: module for name, module in beside.items() if name in replaced and adds_only(module)}
    of_one = {
        name_within(path, f"{expert}.{own}.weight")
        for path in experts
        for expert in numbers_of_experts(modules[path])
        for own in EXPERTS
    }
    if not replaced.keys() <= {*own_names, *of_one, *beside}:
        return None
    state = {name: buffer.clone() for name, buffer in model.named_buffers()}
    for name, array in replaced.items():
        if name in own_names:
            like = model.get_parameter(own_names[name])
            state[own_names[name]] = torch.as_tensor(array).to(like.device, like.dtype)
        if name in beside:
            base = base_of(beside[name]).weight
            drawn = torch.as_tensor(array).to(base.device, base.dtype)
            state[at_base[id(base)]] = base.detach() + drawn - weight_of(beside[name])
    for path in experts if replaced else ():
        for own in EXPERTS:
            whole = modules[path]._parameters[own].detach().clone()
            for expert, of_expert in enumerate(whole):
                if (drawn := replaced.get(name_within(path, f"{expert}.{own}.weight"))) is not None:
                    of_expert.copy_(torch.as_tensor(drawn))
            state[own_names[name_within(path, own)]] = whole
    return state


def _take(taken: dict[str, np.ndarray], reader: str, module: Any, inputs: tuple[Any, ...]) -> None:
    """What enters a module at its first call, a row a unit, at up to 512 evenly spaced positions."""
    if reader in taken or not inputs or not is_tensor(inputs[0]):
        return
    entering = inputs[0].detach()
    by_unit = entering.movedim(1, -1) if kind_of(base_of(module)) == "kernel" else entering
    taken[reader] = to_numpy(_some(by_unit.reshape(-1, by_unit.shape[-1]))).T


def _some(rows: Any) -> Any:
    """What is looked at of a signal, before any of it is copied."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), MAX_ROWS)).astype(int)
    return rows[import_torch().from_numpy(places).to(rows.device)]


def _take_of_experts(
    taken: dict[str, np.ndarray], path: str, form: Form, module: Any, arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """What the hidden units of each expert give for the rows that are routed to it, as transformers' experts do it."""
    signal, routes = [*arguments, *named.values(), None, None][:2]
    if not (is_tensor(signal) and is_tensor(routes)) or routes.is_floating_point():
        return
    signal = signal.detach().reshape(-1, signal.shape[-1])
    routes = routes.reshape(len(signal), -1)
    for expert in numbers_of_experts(module):
        rows = _some(signal[(routes == expert).any(dim=1)])
        weights = module.gate_up_proj[expert]
        entering = rows @ (weights.T if form is ROWS else weights)
        if (biases := module._parameters.get("gate_up_proj_bias")) is not None:
            entering = entering + biases[expert]
        taken.setdefault(name_within(path, f"{expert}.down_proj"), to_numpy(module._apply_gate(entering)).T)


def _arguments(model: Any, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A batch as a module is called with it."""
    torch = import_torch()
    device = next(model.parameters()).device
    # Complex and quantized ones say nothing of what enters.
    kind = next((one.dtype for one in model.parameters() if one.is_floating_point()), torch.get_default_dtype())

    def tensor(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = torch.as_tensor(value)
            value = value.to(kind) if value.is_floating_point() else value
        return value.to(device) if is_tensor(value) else value

    if isinstance(inputs, Mapping):
        return (), {str(name): tensor(value) for name, value in inputs.items()}
    if isinstance(inputs, (tuple, list)) and any(isinstance(one, np.ndarray) or is_tensor(one) for one in inputs):
        return tuple(map(tensor, inputs)), {}
    rows = inputs if is_tensor(inputs) else np.asarray(inputs)
    if not is_tensor(rows) and rows.dtype.kind not in "fiub":
        raise ArchitectureError(f"The inputs {shown(inputs)} are no numbers; give a tensor, an array, or a dict.")
    return (tensor(rows),), {}
