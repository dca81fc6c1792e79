"""The copy of a person's module that is worked on, and back: the module itself is never changed."""

from collections.abc import Iterator
from typing import Any

from nucleate._wording import listed, say_error
from nucleate.errors import ArchitectureError
from nucleate.pytorch.exchange import import_torch, refuse_script
from nucleate.pytorch.layers import is_dropout
from nucleate.reduction.modules.units import copied

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called",
)


def working_copy(module: Any) -> tuple[Any, list[str]]:
    """A copy in evaluation mode, on the CPU, in float32 or float64, without hooks; and what to say of that."""
    torch = import_torch()
    name = type(module).__name__
    refuse_script(module)
    _check(module)
    notes = []
    if any(child.training for child in module.modules()):
        without = ", without dropout" if any(map(is_dropout, module.modules())) else ""
        notes.append(f"The module was given in training mode; it was judged in evaluation mode{without}.")
    try:
        work = copied(module)
    except Exception as error:
        raise ArchitectureError(
            f"The {name} cannot be copied ({say_error(error)[:160]}); keep in it no tensors that were computed with "
            "gradients, and nothing that cannot be copied."
        ) from None
    dtypes = {value.dtype for value in (*work.parameters(), *work.buffers()) if value.is_floating_point()}
    devices = {value.device.type for value in (*work.parameters(), *work.buffers())}
    wide = torch.float64 if dtypes == {torch.float64} else torch.float32
    if dtypes - {wide}:
        lower = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes - {wide}))
        notes.append(
            f"Its {lower} was computed with and judged in float32; the smaller module is in {lower} again, and was "
            f"judged with its numbers rounded so, but not each step of the computation."
        )
    if devices != {"cpu"}:
        notes.append(f"It was reduced on the CPU and put back on {', '.join(sorted(devices - {'cpu'}))}.")
    # By their names, since `to` would take complex buffers, such as those of rotary positions, for real ones.
    work = work.cpu().double() if wide == torch.float64 else work.cpu().float()
    dropped = [one for child in work.modules() if (one := _drop_hooks(child))]
    if dropped:
        notes.append(
            f"Hooks of {listed(dropped)} are not in the smaller module, and all that is told here is of the original "
            "without them: if they change what it gives, put them on both and compare."
        )
    for parameter in work.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
        parameter.grad = None
    return work.eval(), notes


def as_stored(small: Any, original: Any) -> None:
    """Round the parameters and buffers of a reduced copy to the original's kinds of numbers, to be judged as such."""
    kinds = {name: value.dtype for name, value in _stored(original)}
    with import_torch().no_grad():
        for name, value in _stored(small):
            if name in kinds and value.is_floating_point():
                value.copy_(value.to(kinds[name]))


def _stored(module: Any) -> Iterator[tuple[str, Any]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def finish(small: Any, original: Any) -> Any:
    """The reduced copy as the original is: its modes, devices, kinds of numbers, and what is trained of it."""
    modes = {name: child.training for name, child in original.named_modules()}
    for name, child in small.named_modules():
        child.training = modes.get(name, original.training)
    like = dict(_stored(original))
    for name, value in small.named_parameters(remove_duplicate=False):
        if name not in like:
            continue
        value.data = value.data.to(like[name].device, like[name].dtype)
        value.requires_grad_(like[name].requires_grad)
    for child_name, child in small.named_modules():
        for own, value in child._buffers.items():
            full = f"{child_name}.{own}".lstrip(".")
            if value is not None and full in like:
                child._buffers[own] = value.to(like[full].device, like[full].dtype)
    return small


def _check(module: Any) -> None:
    nn = import_torch().nn
    name = type(module).__name__
    floating = 0
    for own, value in module.named_parameters():
        if isinstance(value, nn.parameter.UninitializedParameter):
            raise ArchitectureError(f"The weights {own} of the {name} have no shape yet; run it once on a batch first.")
        if value.device.type == "meta":
            raise ArchitectureError(f"The weights {own} of the {name} are on the meta device; load its numbers first.")
        if value.is_quantized:
            raise ArchitectureError(
                f"The weights {own} of the {name} are quantized; reduce it first, and quantize then."
            )
        if not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            remedy = (
                "hold real and imaginary parts as parameters of their own"
                if value.is_complex()
                else "if they are fixed, make them a buffer; if they are quantized, reduce the module first"
            )
            raise ArchitectureError(
                f"The weights {own} of the {name} are {kind} numbers, and only real numbers of floating point are "
                f"reduced; {remedy}."
            )
        floating += value.numel()
    for own, child in module.named_modules():
        if "quantized" in type(child).__module__ and type(child).__name__ != "NonDynamicallyQuantizableLinear":
            raise ArchitectureError(
                f"The layer {own} of the {name} is quantized ({type(child).__name__}); reduce the module first, and "
                "quantize then."
            )
        if "forward" in vars(child):
            raise ArchitectureError(
                f"The forward of {own or name} was replaced on the module itself, so a copy would still call the "
                "original; give the module as its class makes it (of accelerate, call remove_hook_from_module on it)."
            )
    if not floating:
        raise ArchitectureError(f"The {name} has no parameters, so there is nothing to reduce.")


def _drop_hooks(module: Any) -> str | None:
    """Take off a copy what a person hung on the original; the hooks of PyTorch's own weight norms stay."""
    dropped = False
    for kind in _HOOKS:
        hooks = getattr(module, kind, {})
        for key in list(hooks):
            if not type(hooks[key]).__module__.startswith("torch.nn.utils"):
                del hooks[key]
                dropped = True
    return type(module).__name__ if dropped else None
