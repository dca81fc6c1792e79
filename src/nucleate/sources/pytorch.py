"""PyTorch's modules as sources; PyTorch is imported only when one of them is given."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any

import numpy as np

from nucleate.errors import ArchitectureError
from nucleate.pytorch.exchange import import_torch, refuse_script
from nucleate.pytorch.layers import EXPERTS
from nucleate.sources.activity import activity_on
from nucleate.sources.layers import (
    experts_in,
    forms_in,
    heads_at,
    is_symmetric,
    name_within,
    plain_names,
    readers_in,
    symmetric_in_sequence,
    why_no_units,
)
from nucleate.sources.made import (
    Made,
    copies_in,
    is_adapted,
    made_by,
    not_settled,
    part_of,
    unsettled_in,
    why_left_out,
)
from nucleate.sources.source import ROWS, Form, Parameter, Source
from nucleate.sources.tensors import shared_before, to_numpy, why_no_parameter
from nucleate.sources.tracing import trace_layers

_PARAMETRIZATION = re.compile(r"(?:^|\.)parametrizations\.")


def open_module(model: Any) -> Source:
    """A module of PyTorch's as it is: nothing of it is changed."""
    while isinstance(within := getattr(model, "_orig_mod", None), import_torch().nn.Module):
        model = within
    refuse_script(model)
    named = list(model.named_modules())
    _refuse_flattened(named)
    plain = plain_names(model)
    modules = {plain(f"{name}.").removesuffix("."): module for name, module in named}
    adapted = {path: module for path, module in modules.items() if is_adapted(module)}
    idle = tuple(
        plain(f"{name_within(path, place)}.") for path, module in named for place in (copies_in(module) or ("", []))[1]
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
            left_out += [(name_within(path, own), "another one acts in its place") for own in module._parameters]
            continue
        made = made_by(module)
        for own, value, read, form in _tensors_of(module, made):
            name = name_within(path, own)
            reason = why_no_parameter(value) or shared_before(value, name, first) or why_no_units(module, value)
            if reason is not None:
                left_out.append((name, reason))
                continue
            parameters.append(Parameter(name, tuple(value.shape), read, form))
        if path in adapted:
            left_out += [
                (name_within(path, part), why_left_out(module, part, name_within(path, "weight")))
                for part, _ in module.named_parameters()
            ]
            continue
        for own, one in made.items():
            trained = [part for part, value in one.parts.items() if isinstance(value, import_torch().nn.Parameter)]
            left_out += [(name_within(path, part), part_of(name_within(path, own))) for part in trained]
    left_out += [(plain(name), "it is a buffer, which is not trained") for name, _ in model.named_buffers()]
    config = getattr(model, "config", None)
    return Source(
        type(model).__name__,
        parameters,
        left_out,
        heads=cache(partial(heads_at, modules)),
        model_type=str(getattr(config, "model_type", "")),
        readers=dict(readers_in(modules)),
        opposites_are_one=cache(partial(is_symmetric, modules, symmetric_in_sequence(modules))),
        activity=partial(activity_on, model, modules),
        trace=partial(trace_layers, model, modules),
        remake=partial(_remade, modules),
        notes=lambda: not_settled(
            [
                name_within(path, own).removesuffix(".weight")
                for path, one in modules.items()
                for own in unsettled_in(one)
            ]
        ),
    )


def _remade(modules: Mapping[str, Any], parts: Mapping[str, Parameter]) -> Iterator[Parameter]:
    """The weights that the modules make of such parts as of their own."""
    for path, module in modules.items():
        for own, made in made_by(module).items():
            theirs = {part: parts[name] for part in made.parts if (name := name_within(path, part)) in parts}
            if {part: one.shape for part, one in theirs.items()} == {
                part: tuple(one.shape) for part, one in made.parts.items()
            }:
                like = made.like if made.like is not None else made()
                yield Parameter(name_within(path, own), tuple(like.shape), partial(_remake, made, theirs))


def _remake(made: Made, parts: Mapping[str, Parameter]) -> np.ndarray:
    def tensor(part: str) -> Any:
        now = made.parts[part]
        return import_torch().as_tensor(np.array(parts[part].read())).to(now.device, now.dtype)

    return to_numpy(made.make({part: tensor(part) for part in parts}))


def _refuse_flattened(named: Iterable[tuple[str, Any]]) -> None:
    for name, module in named:
        if is_flattened(module):
            raise ArchitectureError(
                f"{name or 'The model'} is wrapped in FullyShardedDataParallel, of whose weights each process has a "
                "part without its shape; inspect the full state dict, or use DistributedDataParallel while you watch."
            )


def is_flattened(module: Any) -> bool:
    """Whether it is a wrapper that leaves no weight whole."""
    strategy = getattr(getattr(module, "sharding_strategy", None), "name", "NO_SHARD")
    return type(module).__name__ == "FullyShardedDataParallel" and strategy != "NO_SHARD"


def _tensors_of(
    module: Any, made: Mapping[str, Made]
) -> Iterator[tuple[str, Any, Callable[[], np.ndarray], Form | None]]:
    """A module's own weights, and how they are read: parameters, and what is made of others."""
    forms = forms_in(module)
    parts = {part for one in made.values() for part in one.parts}
    packed = getattr(module, "_packed_params", None)
    # A weight that a parametrization makes is asked for below alone.
    if packed is not None and callable(getattr(module, "weight", None)):
        # PyTorch's own quantized layers give their weight by a method.
        weight = module.weight()
        yield "weight", weight, partial(to_numpy, weight), ROWS
    experts = list(experts_in(module))
    for name, value, form in experts:
        yield name, value, partial(to_numpy, value), form
    for name in dict.fromkeys([*module._parameters, *made]):
        if name in parts or (experts and name.removesuffix("_bias") in EXPERTS):
            continue
        if (one := made.get(name)) is not None and one.like is not None:
            yield name, one.like, one.read, forms.get(name)
        elif (value := one() if one is not None else module._parameters[name]) is not None:
            yield name, value, partial(to_numpy, value), forms.get(name)
