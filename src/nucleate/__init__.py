"""Predict, watch and use the initial condensation of neural networks.

Names load on first use, so that importing the package, and the command's help, stay fast.
"""

from __future__ import annotations

from nucleate._lazy import import_quietly, loader

# As type checkers understand it; the module `typing` takes as long as the rest of the command's first imports.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nucleate import figures, models, observe, optimizers, problems, schedules, theory
    from nucleate.activations import Activation, activation_names, get_activation, register_activation
    from nucleate.architectures import Architecture, ConvNetwork, Transformer
    from nucleate.conversion import ScaleConversion, convert_scale
    from nucleate.doctor import Diagnosis, Finding, diagnose
    from nucleate.errors import ArchitectureError, DataError, NucleateError, SpecError, StudyError
    from nucleate.estimators import CondensedClassifier, CondensedRegressor
    from nucleate.experiments import Criterion, Experiment, Measurement, Verdict, reproduce
    from nucleate.exports import export
    from nucleate.forecasting import Forecast, forecast, forecast_many
    from nucleate.init_scale import InitScale, PerLayer
    from nucleate.inspection import CondensationCallback, CondensationMonitor, Inspection, Watch, inspect, watch
    from nucleate.network import Network
    from nucleate.observe import Layer, Measure
    from nucleate.optimizers import Optimizer
    from nucleate.problems import Loss, Metric, Problem, load_problem
    from nucleate.pytorch import from_torch, init_, to_torch
    from nucleate.reduction import Reduction, load_reduction, reduce, reduce_study, save_reduction
    from nucleate.reporting import report
    from nucleate.studies import Study, StudySpec, summarize
    from nucleate.sweeping import forecast_study, recommend_scale, sweep
    from nucleate.training import Run, train, train_many

_ROOMS = (
    *("architectures", "baselines", "doctor", "errors", "estimators", "experiments", "exports", "figures"),
    *("forecasting", "inspection", "models", "observe", "optimizers", "problems", "pytorch", "reduction", "reporting"),
    *("schedules", "sources", "studies", "sweeping", "tables", "theory", "training"),
)
_HOMES = {
    "activations": ("Activation", "activation_names", "get_activation", "register_activation"),
    "architectures": ("Architecture", "ConvNetwork", "Transformer"),
    "conversion": ("ScaleConversion", "convert_scale"),
    "doctor": ("Diagnosis", "Finding", "diagnose"),
    "errors": ("ArchitectureError", "DataError", "NucleateError", "SpecError", "StudyError"),
    "estimators": ("CondensedClassifier", "CondensedRegressor"),
    "experiments": ("Criterion", "Experiment", "Measurement", "Verdict", "reproduce"),
    "exports": ("export",),
    "forecasting": ("Forecast", "forecast", "forecast_many"),
    "init_scale": ("InitScale", "PerLayer"),
    "inspection": ("CondensationCallback", "CondensationMonitor", "Inspection", "Watch", "inspect", "watch"),
    "network": ("Network",),
    "observe": ("Layer", "Measure"),
    "optimizers": ("Optimizer",),
    "problems": ("Loss", "Metric", "Problem", "load_problem"),
    "pytorch": ("from_torch", "init_", "to_torch"),
    "reduction": ("Reduction", "load_reduction", "reduce", "reduce_study", "save_reduction"),
    "reporting": ("report",),
    "studies": ("Study", "StudySpec", "summarize"),
    "sweeping": ("forecast_study", "recommend_scale", "sweep"),
    "training": ("Run", "train", "train_many"),
}
__all__ = [
    "Activation",
    "Architecture",
    "ArchitectureError",
    "CondensationCallback",
    "CondensationMonitor",
    "CondensedClassifier",
    "CondensedRegressor",
    "ConvNetwork",
    "Criterion",
    "DataError",
    "Diagnosis",
    "Experiment",
    "Finding",
    "Forecast",
    "InitScale",
    "Inspection",
    "Layer",
    "Loss",
    "Measure",
    "Measurement",
    "Metric",
    "Network",
    "NucleateError",
    "Optimizer",
    "PerLayer",
    "Problem",
    "Reduction",
    "Run",
    "ScaleConversion",
    "SpecError",
    "Study",
    "StudyError",
    "StudySpec",
    "Transformer",
    "Verdict",
    "Watch",
    "activation_names",
    "convert_scale",
    "diagnose",
    "export",
    "figures",
    "forecast",
    "forecast_many",
    "forecast_study",
    "from_torch",
    "get_activation",
    "init_",
    "inspect",
    "load_problem",
    "load_reduction",
    "models",
    "observe",
    "optimizers",
    "problems",
    "recommend_scale",
    "reduce",
    "reduce_study",
    "register_activation",
    "report",
    "reproduce",
    "save_reduction",
    "schedules",
    "summarize",
    "sweep",
    "theory",
    "to_torch",
    "train",
    "train_many",
    "watch",
]


_load, __dir__ = loader(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_quietly(f"nucleate.{name}")
    return _load(name)
