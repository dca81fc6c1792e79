"""Predict, watch and use the initial condensation of neural networks.

Names load on first use, so that importing the package, and the command's help, stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nucleate.activations import Activation, activation_names, get_activation, register_activation
    from nucleate.errors import DataError, NetworkError, NucleateError, SpecError, StudyError
    from nucleate.init_scale import InitScale
    from nucleate.network import Network

_HOMES = {
    "Activation": "activations",
    "activation_names": "activations",
    "get_activation": "activations",
    "register_activation": "activations",
    "DataError": "errors",
    "NetworkError": "errors",
    "NucleateError": "errors",
    "SpecError": "errors",
    "StudyError": "errors",
    "InitScale": "init_scale",
    "Network": "network",
}

__all__ = [
    "Activation",
    "DataError",
    "InitScale",
    "Network",
    "NetworkError",
    "NucleateError",
    "SpecError",
    "StudyError",
    "activation_names",
    "get_activation",
    "register_activation",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nucleate' has no attribute {name!r}")
    value = getattr(import_module(f"nucleate.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
