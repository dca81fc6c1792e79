"""Models in memory as sources: networks of this package, scikit-learn's, Keras's, PyTorch's, and dicts of arrays."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float
from scipy.special import expit

from nucleate._arrays import real_array
from nucleate._wording import shown
from nucleate.devices import in_float64
from nucleate.errors import ArchitectureError
from nucleate.inspection import pytorch
from nucleate.inspection.files import find_checkpoints, is_network, open_checkpoint, parameters_of
from nucleate.inspection.sources import (
    COLUMNS,
    GATES,
    KERNELS_LAST,
    MATRIX,
    ROWS,
    TOKENS,
    Activity,
    Form,
    Parameter,
    Source,
    shared_with,
    wide_enough,
)
from nucleate.network import Network
from nucleate.pytorch import is_module
from nucleate.pytorch.starts import count_gates

_TAKEN = (
    "a PyTorch module, a nucleate.Network, a fitted scikit-learn MLP, a Keras model, a dict of arrays, or the path of "
    "a checkpoint or of a Hugging Face folder"
)


def open_model(model: Any) -> Source:
    """Whatever holds weights, as a source.

    Parameters
    ----------
    model : model, path or mapping

    Returns
    -------
    Source

    Raises
    ------
    NucleateError
        If it is nothing that can be read.
    """
    if isinstance(model, (str, Path)):
        found = find_checkpoints(model)
        if len(found) > 1:
            raise ArchitectureError(f"{model} names {len(found)} checkpoints where one model is needed; name one.")
        return open_files(found[0])
    if isinstance(model, Network):
        return _of_network(model)
    if is_module(model):
        return pytorch.open_module(model)
    if isinstance(model, Mapping):
        return _of_arrays(model)
    if hasattr(model, "coefs_") and hasattr(model, "intercepts_"):
        return _of_sklearn(model)
    if type(model).__module__.startswith("sklearn.neural_network"):
        raise ArchitectureError(f"The {type(model).__name__} is not fitted, so it has no weights; call fit first.")
    if _is_keras(model):
        return _of_keras(model)
    if any(eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(model)):
        return _of_pytree(model)
    raise ArchitectureError(f"{shown(model)} is no model that can be inspected; give {_TAKEN}.")


def open_files(files: Sequence[Path]) -> Source:
    """What the files of a checkpoint hold: a network of this package is one, activation and all.

    Parameters
    ----------
    files : sequence of Path

    Returns
    -------
    Source

    Raises
    ------
    NucleateError
        As `open_checkpoint`, and for a network that is damaged.
    """
    source = open_checkpoint(files)
    if len(files) == 1 and is_network(files[0]):
        return replace(_of_network(Network.load(files[0])), name=source.name)
    return source


def _of_arrays(arrays: Mapping[Any, Any]) -> Source:
    flat = dict(_flattened(arrays, ""))
    if any(map(pytorch.is_tensor, flat.values())):
        parameters, left_out = pytorch.of_state(flat)
        return Source("state dict", parameters, left_out)
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
    return Source("arrays", parameters, left_out + more)


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
    return Source(type(model).__name__, source.parameters, source.left_out)


def _of_network(network: Network) -> Source:
    return _fully_connected(
        repr(network),
        [np.asarray(weight) for weight in network.weights],
        list(network.biases),
        in_float64(network.activation),
        network.activation.parity != "none",
        ROWS,
    )


def _of_sklearn(model: Any) -> Source:
    function = _SKLEARN[model.activation]
    symmetric = model.activation != "relu"
    weights, biases = list(model.coefs_), list(model.intercepts_)
    return _fully_connected(
        type(model).__name__, weights, biases, function, symmetric, COLUMNS, ("coefs_", "intercepts_")
    )


_SKLEARN: Mapping[str, Callable[[Any], Any]] = {
    "identity": lambda entering: entering,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": partial(np.maximum, 0.0),
}


def _fully_connected(
    name: str,
    weights: list[np.ndarray],
    biases: list[Any],
    activation: Callable[[Any], Any],
    symmetric: bool,
    form: Form,
    called: tuple[str, str] = ("weights", "biases"),
) -> Source:
    """A network whose layers read each the one before it."""
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
    )


def _rows_of(inputs: Any, columns: int) -> Float[np.ndarray, "n d"]:
    rows = real_array("The input", inputs)
    if rows.ndim != 2 or rows.shape[1] != columns or len(rows) == 0:
        raise ArchitectureError(f"The input has shape {rows.shape}; expected (rows, {columns}).")
    return rows


def _is_keras(model: Any) -> bool:
    return any(one.__module__.startswith("keras.") for one in type(model).__mro__) and hasattr(model, "layers")


def _of_keras(model: Any) -> Source:
    if not model.built:
        raise ArchitectureError(f"The Keras model {model.name!r} is not built, so it has no weights; call build first.")
    parameters: list[Parameter] = []
    left_out: list[tuple[str, str]] = []
    first: dict[int, str] = {}
    for layer in model._flatten_layers():
        for weight in layer._trainable_variables + layer._non_trainable_variables:
            name = weight.path.replace("/", ".")
            if (known := first.setdefault(id(weight), name)) != name:
                left_out.append((name, shared_with(known)))
            elif weight in layer._trainable_variables:
                parameters.append(
                    Parameter(name, tuple(weight.shape), partial(_from_keras, weight), _keras_form(layer, weight))
                )
            else:
                left_out.append((name, "it is not trained"))
    return Source(model.name, parameters, left_out)


def _from_keras(weight: Any) -> np.ndarray:
    from keras import ops

    return wide_enough(np.asarray(ops.convert_to_numpy(weight)))


def _keras_form(layer: Any, weight: Any) -> Form | None:
    """What a weight of a Keras layer holds; kernels have their outputs last."""
    if len(weight.shape) < 2:
        return None
    kind = type(layer).__name__
    if kind == "Embedding":
        return TOKENS
    if "LSTM" in kind or "GRU" in kind or "RNN" in kind:
        gates = GATES[count_gates(kind)]
        if "GRU" in kind:
            # Keras has the update gate first.
            gates = Form(gates.kind, gates.rows, parts=("update gate", "reset gate", "new gate"))
        return Form(gates.kind, np.transpose, parts=gates.parts)
    if kind.startswith("Conv") and "Transpose" in kind:
        return Form("kernel", lambda array: np.moveaxis(array, -2, 0).reshape(array.shape[-2], -1))
    if kind.startswith(("Conv", "DepthwiseConv", "SeparableConv")):
        return KERNELS_LAST
    return COLUMNS if len(weight.shape) == 2 else KERNELS_LAST if kind == "EinsumDense" else MATRIX
