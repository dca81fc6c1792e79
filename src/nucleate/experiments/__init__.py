"""The claims of the literature, each measured, with a verdict and a figure."""

from nucleate.experiments.experiment import Criterion, Experiment, Finding, Measurement, ShareDone, Verdict
from nucleate.experiments.registry import EXPERIMENTS, get_experiment
from nucleate.experiments.reproduction import reproduce, reproduce_all

__all__ = [
    "EXPERIMENTS",
    "Criterion",
    "Experiment",
    "Finding",
    "Measurement",
    "ShareDone",
    "Verdict",
    "get_experiment",
    "reproduce",
    "reproduce_all",
]
