"""The batched engine: train one network or many, record what happens to neurons, end each run on its own grounds."""

from nucleate.training.batch import Batch
from nucleate.training.loop import train, train_many
from nucleate.training.rule import Rule
from nucleate.training.run import Run
from nucleate.training.settings import Settings, evaluation_steps, make_settings
from nucleate.training.stopping import BLOWN_UP, TRAINED, Status

__all__ = [
    "BLOWN_UP",
    "TRAINED",
    "Batch",
    "Rule",
    "Run",
    "Settings",
    "Status",
    "evaluation_steps",
    "make_settings",
    "train",
    "train_many",
]
