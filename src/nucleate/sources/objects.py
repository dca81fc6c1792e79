"""Models in memory as sources: networks of this package, scikit-learn's, Keras's, PyTorch's, and dicts of arrays."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from scipy.special import expit

from nucleate._wording import shown
from nucleate.architectures import Model
from nucleate.errors import ArchitectureError
from nucleate.models import is_keras
from nucleate.network import Network
from nucleate.pytorch.exchange import is_module
from nucleate.pytorch.layers import count_gates
from nucleate.sources.files import find_checkpoints, of_parts, open_checkpoint, parameters_of
from nucleate.sources.own import fully_connected, of_own, of_own_file
from nucleate.sources.pytorch import open_module
from nucleate.sources.source import (
    COLUMNS,
    GATES,
    KERNELS_LAST,
    MATRIX,
    ROWS,
    TOKENS,
    Form,
    Heads,
    Parameter,
    Source,
    flat,
    shared_with,
    wide_enough,
)
from nucleate.sources.tensors import is_tensor, of_state

_TAKEN = (
    "a PyTorch module, a nucleate.Network, a fitted scikit-learn MLP, a Keras model, a dict of arrays, or the path of "
    "a checkpoint or of a Hugging Face folder"
)


def open_model(model: Any) -> Source:
    """Whatever holds weights, as a source; what cannot be read is refused."""
    if isinstance(model, (str, Path)):
        found = find_checkpoints(model)
        if len(found) > 1:
            raise ArchitectureError(f"{model} names {len(found)} checkpoints where one model is needed; name one.")
        return open_files(found[0])
    if isinstance(model, (Network, Model)):
        return of_own(model)
    if is_keras(model):
        return _of_keras(model)
    if is_module(model):
        return open_module(model)
    if isinstance(model, Mapping):
        return _of_arrays(model)
    if hasattr(model, "coefs_") and hasattr(model, "intercepts_"):
        return _of_sklearn(model)
    if type(model).__module__.startswith("sklearn.neural_network"):
        raise ArchitectureError(f"The {type(model).__name__} is not fitted, so it has no weights; call fit first.")
    try:
        leaves = jax.tree.leaves(model)
    except (RecursionError, SystemError):  # JAX has the first within the second
        raise _endless(model) from None
    if any(map(eqx.is_inexact_array, leaves)):
        return _of_pytree(model)
    what = f"A {type(model).__name__}" if "\n" in shown(model) else shown(model)
    raise ArchitectureError(f"{what} is no model that can be inspected; give {_TAKEN}.")


def open_files(files: Sequence[Path]) -> Source:
    """What the files of a checkpoint hold: a model of this package is one, activation and all."""
    source = open_checkpoint(files)
    return of_own_file(files[0], source) if len(files) == 1 else source


def _of_arrays(arrays: Mapping[Any, Any]) -> Source:
    try:
        flat = dict(_flattened(arrays, ""))
    except RecursionError:
        raise _endless(arrays) from None
    if any(map(is_tensor, flat.values())):
        return of_parts("state dict", *of_state(flat), {})
    kept: dict[str, np.ndarray] = {}
    left_out = []
    first: dict[int, str] = {}
    for name, value in flat.items():
        if (known := first.setdefault(id(value), name)) != name:
            left_out.append((name, shared_with(known)))
        elif hasattr(value, "dtype") and hasattr(value, "shape"):
            kept[name] = np.asarray(value)
        else:
            left_out.append((name, f"it is a {type(value).__name__}, not an array"))
    parameters, more = parameters_of(kept)
    return of_parts("arrays", parameters, left_out + more, {})


def _endless(model: Any) -> ArchitectureError:
    return ArchitectureError(
        f"The {type(model).__name__} that is to be inspected holds itself, or is nested too deeply; give {_TAKEN}."
    )


def _flattened(arrays: Mapping[Any, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in arrays.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{path}.")
        else:
            yield path, value


def _of_pytree(model: Any) -> Source:
    leaves = jax.tree_util.tree_leaves_with_path(model)
    arrays = {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in leaves}
    source = _of_arrays({name: leaf for name, leaf in arrays.items() if hasattr(leaf, "dtype")})
    return replace(source, name=type(model).__name__)


def _of_sklearn(model: Any) -> Source:
    function = _SKLEARN[model.activation]
    symmetric = model.activation != "relu"
    weights, biases = list(model.coefs_), list(model.intercepts_)
    return fully_connected(
        type(model).__name__, weights, biases, function, symmetric, COLUMNS, ("coefs_", "intercepts_")
    )


_SKLEARN: Mapping[str, Callable[[Any], Any]] = {
    "identity": lambda entering: entering,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": partial(np.maximum, 0.0),
}


def _of_keras(model: Any) -> Source:
    if not model.built:
        raise ArchitectureError(f"The Keras model {model.name!r} is not built, so it has no weights; call build first.")
    parameters: list[Parameter] = []
    left_out: list[tuple[str, str]] = []
    first: dict[int, str] = {}
    heads: dict[str, Heads] = {}
    for layer in model._flatten_layers():
        of_layer = [(weight, True) for weight in layer._trainable_variables]
        for weight, is_trained in of_layer + [(weight, False) for weight in layer._non_trainable_variables]:
            name = weight.path.replace("/", ".")
            if (known := first.setdefault(id(weight), name)) != name:
                left_out.append((name, shared_with(known)))
            elif is_trained and name.endswith("bias") and len(weight.shape) > 1:
                left_out.append((name, "it is a bias of several axes, which has no units to compare"))
            elif is_trained:
                one = Parameter(name, tuple(weight.shape), partial(_from_keras, weight), _keras_form(layer, weight))
                parameters.append(one)
                if one.form is not None and (at := _KERAS_HEADS.get(one.form.kind)) is not None:
                    heads[one.layer] = Heads(weight.shape[at], weight.shape[at])
            else:
                left_out.append((name, "it is not trained"))
    # On PyTorch the layers are modules too, but their kernels have the outputs last, and none says who reads it.
    activity: Any = (lambda inputs, replaced, readers: {}) if is_module(model) else None
    return Source(model.name, parameters, left_out, heads=heads.get, activity=activity)


_KERAS_HEADS = {"query": 1, "key": 1, "value": 1, "output": 0}
"""On which axis kernels of Keras's attention have the heads."""


def _from_keras(weight: Any) -> np.ndarray:
    from keras import ops

    # On PyTorch the array is the weight itself, which training goes on to change.
    return wide_enough(np.array(ops.convert_to_numpy(weight)))


def _keras_form(layer: Any, weight: Any) -> Form | None:
    """What a weight of a Keras layer holds; kernels have their outputs last."""
    if len(weight.shape) < 2:
        return None
    kind = type(layer).__name__
    if kind == "TorchModuleWrapper":
        return ROWS
    if kind == "Embedding":
        return TOKENS
    if "LSTM" in kind or "GRU" in kind or "RNN" in kind:
        gates = GATES[count_gates(kind)]
        if "GRU" in kind:
            # Keras has the update gate first.
            gates = Form(gates.kind, gates.rows, parts=("update gate", "reset gate", "new gate"))
        return Form(gates.kind, np.transpose, parts=gates.parts)
    if kind == "EinsumDense" and len(weight.shape) == 3 and layer.name in ("query", "key", "value"):
        return Form(layer.name, lambda array: array.reshape(len(array), -1).T)
    if kind == "EinsumDense" and len(weight.shape) == 3 and layer.name == "attention_output":
        return Form("output", KERNELS_LAST.rows)
    if kind.startswith("Depthwise") or weight.path.endswith("depthwise_kernel"):
        # Each kernel reads one channel.
        return Form("kernel", lambda array: array.reshape(-1, array.shape[-2] * array.shape[-1]).T)
    if kind.startswith("Conv") and "Transpose" in kind:
        return Form("kernel", partial(flat, axis=-2))
    if kind.startswith(("Conv", "SeparableConv")):
        return KERNELS_LAST
    return COLUMNS if len(weight.shape) == 2 else KERNELS_LAST if kind == "EinsumDense" else MATRIX
