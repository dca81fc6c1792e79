"""Measures of a network: directions, clusters, effective neurons, ranks, distances. All in float64, at any scale."""

from nucleate.observe.alike import MOST_LOST, Alike, alike, effective_neurons, merging_loss
from nucleate.observe.curve import AHEAD, FLAT, LEFT, StageName, Stages, noise, smoothed, stages
from nucleate.observe.directions import (
    Directions,
    alignment,
    condensed_pairs,
    cosine_similarity,
    directions,
    directions_in_use,
    leading_order,
)
from nucleate.observe.layers import (
    Layer,
    LayerStack,
    amplitudes,
    contributions,
    layers_of,
    most_in_stack,
    neurons,
    signals_seen,
    stacks_of,
)
from nucleate.observe.measures import MEASURES, Measure, check_measures, evaluation_rows, measure, measure_layers
from nucleate.observe.ranks import effective_rank, numerical_rank, relative_distance, stable_rank
from nucleate.observe.snapshots import Snapshot, snapshot

__all__ = [
    "AHEAD",
    "FLAT",
    "LEFT",
    "MEASURES",
    "MOST_LOST",
    "Alike",
    "Directions",
    "Layer",
    "LayerStack",
    "Measure",
    "Snapshot",
    "StageName",
    "Stages",
    "alignment",
    "alike",
    "amplitudes",
    "check_measures",
    "condensed_pairs",
    "contributions",
    "cosine_similarity",
    "directions",
    "directions_in_use",
    "effective_neurons",
    "effective_rank",
    "evaluation_rows",
    "layers_of",
    "leading_order",
    "measure",
    "measure_layers",
    "merging_loss",
    "most_in_stack",
    "neurons",
    "noise",
    "numerical_rank",
    "relative_distance",
    "signals_seen",
    "smoothed",
    "snapshot",
    "stable_rank",
    "stacks_of",
    "stages",
]
