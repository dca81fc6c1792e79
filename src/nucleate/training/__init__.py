"""The batched engine: train one network or many, record what happens to neurons, end each run on its own grounds."""

from nucleate.training.batch import Batch
from nucleate.training.checks import (
    check_batch_size,
    check_fit,
    check_runs,
    check_seeds,
    check_widths_fit,
    most_together,
    undecided_decay,
)
from nucleate.training.loop import train, train_many
from nucleate.training.rule import Rule
from nucleate.training.run import Run
from nucleate.training.settings import READING, Sentence, Settings, evaluation_steps, make_settings, spec_error
from nucleate.training.stopping import BLOWN_UP, TRAINED, Status, dead_units, plateau_loss

__all__ = [
    "BLOWN_UP",
    "READING",
    "TRAINED",
    "Batch",
    "Rule",
    "Run",
    "Sentence",
    "Settings",
    "Status",
    "check_batch_size",
    "check_fit",
    "check_runs",
    "check_seeds",
    "check_widths_fit",
    "dead_units",
    "evaluation_steps",
    "make_settings",
    "most_together",
    "plateau_loss",
    "spec_error",
    "train",
    "train_many",
    "undecided_decay",
]
