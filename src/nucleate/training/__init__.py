"""The batched engine: train one network or many, record what happens to neurons, end each run on its own grounds."""

from nucleate.optimizers import OptimizerName, make_optimizer
from nucleate.training._batch import Batch
from nucleate.training._checks import check_batch_size, check_runs
from nucleate.training._run import Run
from nucleate.training._schedule import record_steps
from nucleate.training._settings import Settings, make_settings, spec_error
from nucleate.training._stopping import Status
from nucleate.training._train import train, train_many

__all__ = [
    "Batch",
    "OptimizerName",
    "Run",
    "Settings",
    "Status",
    "check_batch_size",
    "check_runs",
    "make_optimizer",
    "make_settings",
    "record_steps",
    "spec_error",
    "train",
    "train_many",
]
