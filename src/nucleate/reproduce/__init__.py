"""The literature's claims as named experiments: a setting, a measured verdict and a figure each."""

import sys

from nucleate._verb import Verb
from nucleate.reproduce._experiment import Criterion, Experiment, Measurement
from nucleate.reproduce._experiments import EXPERIMENTS, get_experiment
from nucleate.reproduce._reproduce import reproduce, reproduce_all
from nucleate.reproduce._verdict import Finding, Verdict

__all__ = [
    "EXPERIMENTS",
    "Criterion",
    "Experiment",
    "Finding",
    "Measurement",
    "Verdict",
    "get_experiment",
    "reproduce",
    "reproduce_all",
]

sys.modules[__name__].__class__ = Verb
