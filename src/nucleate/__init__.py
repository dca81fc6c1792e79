"""Predict, watch and use the initial condensation of neural networks.

Names load on first use, so that importing the package, and the command's help, stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nucleate import adapters, observe, problems, reduce, theory
    from nucleate.activations import Activation, activation_names, get_activation, register_activation
    from nucleate.adapters import CondensedClassifier, CondensedRegressor
    from nucleate.errors import DataError, NetworkError, NucleateError, SpecError, StudyError
    from nucleate.forecast import Forecast, forecast, forecast_many
    from nucleate.init_scale import InitScale
    from nucleate.network import Network
    from nucleate.problems import Problem, load_problem
    from nucleate.reduce import Reduction
    from nucleate.report import report
    from nucleate.reproduce import Verdict, reproduce
    from nucleate.sweep import Study, StudySpec, summarise, sweep
    from nucleate.training import Run, train, train_many

_ROOMS = ("adapters", "forecast", "observe", "problems", "reduce", "report", "reproduce", "sweep", "theory")
_HOMES = {
    "adapters": ("CondensedClassifier", "CondensedRegressor"),
    "activations": ("Activation", "activation_names", "get_activation", "register_activation"),
    "forecast": ("Forecast", "forecast_many"),
    "errors": ("DataError", "NetworkError", "NucleateError", "SpecError", "StudyError"),
    "init_scale": ("InitScale",),
    "network": ("Network",),
    "problems": ("Problem", "load_problem"),
    "reduce": ("Reduction",),
    "reproduce": ("Verdict",),
    "sweep": ("Study", "StudySpec", "summarise"),
    "training": ("Run", "train", "train_many"),
}

__all__ = [
    "Activation",
    "CondensedClassifier",
    "CondensedRegressor",
    "DataError",
    "Forecast",
    "InitScale",
    "Network",
    "NetworkError",
    "NucleateError",
    "Problem",
    "Reduction",
    "Run",
    "SpecError",
    "Study",
    "StudyError",
    "StudySpec",
    "Verdict",
    "activation_names",
    "adapters",
    "forecast",
    "forecast_many",
    "get_activation",
    "load_problem",
    "observe",
    "problems",
    "reduce",
    "register_activation",
    "report",
    "reproduce",
    "summarise",
    "sweep",
    "theory",
    "train",
    "train_many",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"nucleate.{name}")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"nucleate.{home}"), name)
    raise AttributeError(f"module 'nucleate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
