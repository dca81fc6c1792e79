"""PyTorch's tensors and state dicts as parameters, and files that hold them; it is imported when one is given."""

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nucleate._wording import listed, say_error, shown
from nucleate.errors import DataError, NucleateError
from nucleate.pytorch.exchange import import_torch
from nucleate.sources.configurations import quantized
from nucleate.sources.source import Parameter, no_weights, shared_with

_WRAPPED = re.compile(
    r"(?:^|(?<=\.))(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module|base_model\.model)\."
)


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of PyTorch's."""
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "Tensor") and isinstance(value, torch.Tensor)


def read_saved(file: Path) -> tuple[list[Parameter], list[tuple[str, str]]]:
    """The parameters of a state dict that `torch.save` wrote, and what else is in the file.

    One that is none, or cannot be read without running code that it brings along, is refused.
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
    except (UnpicklingError, KeyError) as error:
        said = str(error)
        if "GLOBAL" in said or "Unsupported" in said or "weights_only" in said.split("\n")[0]:
            raise DataError(
                f"{file} wants to run code when it is opened, so it is not; where you trust it, load it yourself and "
                "save its weights alone: torch.save(model.state_dict(), ...)."
            ) from None
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
    plain = without_wrappers(map(str, state))
    named = {plain(str(name)): value for name, value in state.items()}
    for name, value in named.items():
        reason = why_no_parameter(value) or quantized(name, named) or shared_before(value, name, first)
        if reason is not None:
            left_out.append((name, reason))
        else:
            parameters.append(Parameter(name, tuple(value.shape), partial(to_numpy, value)))
    return parameters, left_out


def without_wrappers(names: Iterable[str]) -> Callable[[str], str]:
    """What parameters are called without what wraps their model, as far as no two are then called the same."""
    names = list(names)

    def plain(name: str) -> str:
        return _WRAPPED.sub("", name)

    return plain if len({*map(plain, names)}) == len({*names}) else str


def shared_before(tensor: Any, name: str, first: dict[Any, str]) -> str | None:
    """Why a tensor is left out that another name had first."""
    place = tensor.data_ptr() or id(tensor), tuple(tensor.shape), tuple(tensor.stride())
    known = first.setdefault(place, name)
    return None if known == name else shared_with(known)


def why_no_parameter(value: Any) -> str | None:
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
    if value.is_complex():
        return "its numbers are complex; inspect its real and imaginary parts (torch.view_as_real) as arrays"
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
