"""Fully connected networks to PyTorch and back, every number as it is."""

import math
import operator
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nucleate._wording import count, first_line
from nucleate.activations import Activation, get_activation
from nucleate.errors import ArchitectureError, SpecError
from nucleate.network import Network

if TYPE_CHECKING:
    import torch


def import_torch() -> Any:
    """PyTorch, imported at its first use; a SpecError if it is not installed."""
    return import_extra("torch", "PyTorch")


def import_extra(module: str, what: str) -> Any:
    """A package that ``nucleate[torch]`` brings, which is named for a sentence."""
    try:
        return import_module(module)
    except ImportError:
        raise SpecError(f"{what} is not installed; install it by: pip install 'nucleate[torch]'.") from None


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """Leaves the random numbers of PyTorch, NumPy and Python as they were; models and data may draw from any."""
    state, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with import_torch().random.fork_rng():
            yield
    finally:
        random.setstate(state)
        np.random.set_state(of_numpy)  # noqa: NPY002


def size_of(tensors: Iterable[Any]) -> float:
    """The norm of all entries of some tensors in float64, which not every device has."""
    return math.sqrt(sum(float(one.detach().abs().cpu().double().pow(2).sum()) for one in tensors))


@contextmanager
def hooked(hooks: Iterable[Any]) -> Iterator[None]:
    """Hooks of modules, removed at the end."""
    hooks = list(hooks)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def same_attributes(module: Any) -> Iterator[None]:
    """Leaves what a module and its parts hold as attributes: modes, and what a forward pass keeps for the next one.

    Each is put back as the object that it was; what is changed within it stays changed.
    """
    before = {part: dict(vars(part)) for part in module.modules()}
    try:
        yield
    finally:
        for part, held in before.items():
            own = vars(part)
            for name in own.keys() - held.keys():
                del own[name]
            # What is as it was is not written, which compiled code would take for a change.
            own.update({name: value for name, value in held.items() if name not in own or own[name] is not value})


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Without dropout and what else is of training alone; afterwards the module and each part are as they were."""
    with same_attributes(module):
        module.eval()
        yield


def is_module(thing: object) -> bool:
    """Whether this is a PyTorch module; PyTorch is not imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "nn") and isinstance(thing, torch.nn.Module)


def to_torch(network: Network) -> "torch.nn.Sequential":
    """A network as an ordinary PyTorch module of the same parameters, bit for bit.

    Parameters
    ----------
    network : Network
        Of one of the package's own activations.

    Returns
    -------
    torch.nn.Sequential
        Of `torch.nn.Linear` and activation modules, of the network's dtype, from rows (n, d) to outputs (n, c).

    Raises
    ------
    ArchitectureError
        For an activation of one's own.
    SpecError
        If PyTorch is not installed.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = Network.create(2, [3], 1, scale=InitScale("gain", 1.0))
    >>> to_torch(network)  # doctest: +SKIP
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=False)
      (1): Tanh()
      (2): Linear(in_features=3, out_features=1, bias=False)
    )
    """
    if not isinstance(network, Network):
        raise ArchitectureError(f"{network!r:.60} is no nucleate.Network; give one.")
    torch = import_torch()
    dtype = getattr(torch, network.dtype)
    modules: list[Any] = []
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        if layer:
            modules += _module_of(network.activation)
        fan_out, fan_in = weight.shape
        # Made without a draw, which would move PyTorch's random numbers on.
        linear = torch.nn.Linear(fan_in, fan_out, bias=bias is not None, dtype=dtype, device="meta")
        linear = linear.to_empty(device="cpu")
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(np.array(weight)))
            if bias is not None:
                linear.bias.copy_(torch.from_numpy(np.array(bias)))
        modules.append(linear)
    return torch.nn.Sequential(*modules)


def from_torch(module: "torch.nn.Module") -> Network:
    """The network that a PyTorch module computes, with the same parameters, bit for bit.

    Parameters
    ----------
    module : torch.nn.Module
        A `torch.nn.Sequential` of linear layers and activations, or one that `torch.fx` shows to be the same.
        Flattening, identities and dropout, which evaluation leaves out, may stand between them.

    Returns
    -------
    Network
        Of the module's dtype, float32 or float64.

    Raises
    ------
    ArchitectureError
        If it is anything else, with the layer that is.
    SpecError
        If PyTorch is not installed.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from_torch(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)))  # doctest: +SKIP
    Network(2-3-1, tanh, biases in layers 1, 2, float32)
    """
    torch = import_torch()
    if not isinstance(module, torch.nn.Module):
        raise ArchitectureError(f"{module!r:.60} is no PyTorch module; give one.")
    return read_network(module).network


class Read(NamedTuple):
    """The network that a module computes, of each of its layers the module's parameters, and where it drops units."""

    network: Network
    parameters: list[Any]
    dropouts: list[str]


class _Dropout(NamedTuple):
    """A call of dropout as a function, and whether it drops in the mode in which the module is."""

    is_on: bool


def read_network(module: Any) -> Read:
    """As `from_torch`, with the parameters."""
    torch = import_torch()
    module = _whole(torch, module)
    linears: list[Any] = []
    applied: list[tuple[str, str]] = []
    dropouts: list[str] = []
    pending: tuple[str, str] | None = None
    for where, step in _steps(torch, module):
        if isinstance(step, _Dropout):
            dropouts.append(where)
        elif isinstance(step, torch.nn.Linear):
            if linears:
                applied.append(pending or ("linear", where))
            elif pending:
                raise _no_network(pending[1], f"applies {pending[0]} before the first linear layer")
            linears.append(step)
            pending = None
        elif step is not None:
            if pending:
                raise _no_network(where, f"follows the activation of {pending[1]} without a linear layer between")
            pending = (step, where)
    if pending:
        raise _no_network(pending[1], f"applies {pending[0]} to the outputs; a loss is of the last linear layer's own")
    if dropouts:
        _refuse_dropout_in_evaluation(torch, module)
    if len(linears) < 2:
        raise ArchitectureError(
            f"This {type(module).__name__} has {count(len(linears), 'linear layer')} and so no hidden layer; a network "
            "needs one, as in Sequential(Linear, Tanh, Linear)."
        )
    for before, after in pairwise(linears):
        if before.weight.shape[0] != after.weight.shape[1]:
            raise ArchitectureError(
                f"A linear layer of this module gives {before.weight.shape[0]} numbers and the next one takes "
                f"{after.weight.shape[1]}, so it cannot run; make them equal."
            )
    if len({id(layer.weight) for layer in linears}) < len(linears):
        raise ArchitectureError("Two linear layers of this module share their weights; a network's layers do not.")
    names = list(dict.fromkeys(name for name, _ in applied))
    if len(names) > 1:
        other = next(where for name, where in applied if name != names[0])
        raise _no_network(other, f"brings {names[1]} beside {names[0]}; a network has one activation")
    dtypes = {str(parameter.dtype).removeprefix("torch.") for layer in linears for parameter in layer.parameters()}
    if not (len(dtypes) == 1 and dtypes <= {"float32", "float64"}):
        raise ArchitectureError(
            f"The module's parameters are {' and '.join(sorted(dtypes))}; convert it by .float() or .double() first."
        )
    if any(parameter.is_meta for layer in linears for parameter in layer.parameters()):
        raise ArchitectureError("The module is on the meta device, so it has no numbers; give it some first.")
    weights, biases = ([_numbers(getattr(layer, name)) for layer in linears] for name in ("weight", "bias"))
    network = Network(tuple(weights), tuple(biases), get_activation(names[0]))
    return Read(network, [parameter for layer in linears for parameter in layer.parameters()], dropouts)


def _refuse_dropout_in_evaluation(torch: Any, module: Any) -> None:
    with evaluating(module):
        for where, step in _steps(torch, module):
            if isinstance(step, _Dropout) and step.is_on:
                raise _no_network(where, "drops units in evaluation mode too; call it with training=self.training")


def _whole(torch: Any, module: Any) -> Any:
    """The module itself, out of what compiles or distributes it; refused where more than its layers act in it."""
    module = unwrap(module)
    refuse_script(module)
    for path, part in module.named_modules():
        if any(torch.nn.parameter.is_lazy(parameter) for parameter in part.parameters(recurse=False)):
            raise _no_network(path or f"the {type(part).__name__}", "has no shape yet; run the module once first")
        hooked = part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part)
        if hooked and not isinstance(part, torch.fx.GraphModule):
            raise _no_network(
                path or f"the {type(part).__name__}",
                "has a forward hook, as pruning and weight_norm set one too, so what it computes is not known; remove "
                "the hook, or make it permanent",
            )
    return module


def unwrap(module: Any) -> Any:
    """What torch.compile and DataParallel were given."""
    nn = import_torch().nn
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def refuse_script(module: Any) -> None:
    """Raise for a TorchScript module, which does not tell its layers."""
    if isinstance(module, import_torch().jit.ScriptModule):
        raise ArchitectureError(
            f"This {getattr(module, 'original_name', 'module')} is a TorchScript module, which does not tell its "
            "layers; give the module that it was made of."
        )


def _numbers(parameter: Any) -> Any:
    return None if parameter is None else parameter.detach().cpu().numpy().copy()


def _steps(torch: Any, module: Any) -> Iterator[tuple[str, Any]]:
    """What it does to its input in turn: a linear layer, the name of an activation, a dropout, or None for nothing."""
    if type(module) is torch.nn.Linear:
        # Traced, it would be its parameters and a function.
        yield "the Linear", module
        return
    ours = tuple(_applied(torch).values())

    def around() -> tuple[bool, ...]:
        return torch.is_grad_enabled(), *(torch.is_autocast_enabled(device) for device in ("cpu", "cuda"))

    outside = around()

    class Tracer(torch.fx.Tracer):  # type: ignore[misc]
        def create_node(self, kind: str, target: Any, *rest: Any, **named: Any) -> Any:
            # The graph itself does not say under what its steps are.
            if around() != outside:
                raise _no_network(str(target), "is under no_grad or autocast in the module's own forward")
            return super().create_node(kind, target, *rest, **named)

        def is_leaf_module(self, part: Any, name: str) -> bool:
            return isinstance(part, ours) or bool(super().is_leaf_module(part, name))

    try:
        with same_attributes(module):
            traced = torch.fx.GraphModule(module, Tracer().trace(module))
    except ArchitectureError:
        raise
    except Exception as error:
        raise ArchitectureError(
            f"torch.fx cannot trace this {type(module).__name__} ({first_line(error)}), so it is not known to be a "
            "fully connected network; give a Sequential of Linear and activations."
        ) from None
    last = None
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            if last is not None:
                if node.users:
                    raise _no_network(str(node.target), "is a second input")
                continue
            last = node
            continue
        if node.op == "output":
            if node.args != (last,):
                raise _no_network("the output", "is not that of the last layer alone")
            continue
        where = getattr(node.target, "__name__", str(node.target))
        if len(node.users) > 1 or node.all_input_nodes != [last]:
            raise _no_network(where, "does not take the output of the layer before it alone, one after another")
        last = node
        if node.op == "call_module":
            part = traced.get_submodule(node.target)
            yield f"{where} ({type(part).__name__})", _read_module(torch, where, part)
        else:
            yield where, _read_call(torch, where, node)


def _read_module(torch: Any, where: str, part: Any) -> Any:
    nn = torch.nn
    if type(part) is nn.Linear:
        return part
    flattens = isinstance(part, nn.Flatten) and (part.start_dim, part.end_dim) == (1, -1)
    if flattens or isinstance(part, nn.Identity | nn.Dropout):
        return None
    for kind, name, is_ours in _modules(torch):
        if type(part) is kind:
            if is_ours is not None and not is_ours(part):
                raise _no_network(where, f"is {part!r}, which is none of the package's activations")
            return name
    raise _no_network(where, f"is a {type(part).__name__}, neither a linear layer nor a known activation")


def _read_call(torch: Any, where: str, node: Any) -> Any:
    """Functions and methods on the signal alone, without other arguments."""
    functional = torch.nn.functional
    names = [name for _, name, _ in _modules(torch)]
    calls: dict[Any, str] = {name: name for name in names if hasattr(torch.Tensor, name)}
    calls |= {getattr(of, name): name for name in names for of in (torch, functional) if hasattr(of, name)}
    alone = len(node.args) == 1 and not any(node.kwargs.values())
    if node.target in calls and alone:
        return calls[node.target]
    if node.target in (torch.flatten, "flatten") and node.args[1:] == (1,) and not node.kwargs:
        return None
    if node.target is functional.dropout:
        given = {"p": 0.5, "training": True} | dict(zip(("p", "training"), node.args[1:], strict=False)) | node.kwargs
        return _Dropout(bool(given["training"])) if given["p"] else None
    if node.target is operator.getitem or not alone:
        raise _no_network(where, "is not a plain function of the layer before it")
    raise _no_network(where, "is neither a linear layer nor a known activation")


def _modules(torch: Any) -> list[tuple[Any, str, Callable[[Any], bool] | None]]:
    """Modules, the activation of each, and whether a module's settings make it this one; None: they do."""
    nn = torch.nn
    return [
        (nn.Tanh, "tanh", None),
        (nn.ReLU, "relu", None),
        (nn.LeakyReLU, "leaky_relu", lambda part: part.negative_slope == 0.01),
        (nn.GELU, "gelu", lambda part: part.approximate == "none"),
        (nn.SiLU, "silu", None),
        (nn.Sigmoid, "sigmoid", None),
        (nn.Softplus, "softplus", lambda part: (part.beta, part.threshold) == (1.0, 20.0)),
        (nn.ELU, "elu", lambda part: part.alpha == 1.0),
        (nn.SELU, "selu", None),
        *((kind, name, None) for name, kind in _applied(torch).items()),
    ]


def _module_of(activation: Activation) -> list[Any]:
    torch = import_torch()
    if activation.is_built_in and activation.name == "linear":
        return []
    for kind, name, _ in _modules(torch) if activation.is_built_in else ():
        if name == activation.name:
            return [kind()]
    raise ArchitectureError(
        f"PyTorch has no activation {activation.name!r}; write it as a torch.nn.Module of your own, and copy the "
        "weights."
    )


_APPLIED: dict[str, Any] = {}


def _applied(torch: Any) -> dict[str, Any]:
    """Modules for the package's activations that PyTorch does not have."""
    functions = {
        "xtanh": lambda z: z * torch.tanh(z),
        "sigmoid_shifted": lambda z: 0.5 * torch.tanh(0.5 * z),
        "softplus_shifted": lambda z: torch.relu(z) + torch.log1p(0.5 * torch.expm1(-z.abs())),
    }
    if not _APPLIED:
        for name, function in functions.items():
            forward = lambda self, z, function=function: function(z)  # noqa: E731
            _APPLIED[name] = type(name, (torch.nn.Module,), {"forward": forward, "__module__": __name__})
    return _APPLIED


def _no_network(where: str, why: str) -> ArchitectureError:
    return ArchitectureError(
        f"The module is not a fully connected network with one activation: {where} {why}. Give a Sequential of Linear "
        "and activations."
    )
