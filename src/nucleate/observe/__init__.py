"""Measures of a network: directions, clusters, effective neurons, ranks, distances. All in float64, at any scale."""

from nucleate.observe.alike import MOST_LOST, Alike, alike, effective_neurons, merging_loss
from nucleate.observe.curve import StageName, Stages, stages
from nucleate.observe.directions import (
    Directions,
    alignment,
    condensed_pairs,
    cosine_similarity,
    directions,
    directions_in_use,
    leading_order,
)
from nucleate.observe.layers import Layer, LayerStack, amplitudes, contributions, layers_of, neurons
from nucleate.observe.measures import MEASURES, Measure, measure
from nucleate.observe.ranks import effective_rank, numerical_rank, relative_distance, stable_rank
from nucleate.observe.snapshots import Snapshot, snapshot

__all__ = [
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
    "condensed_pairs",
    "contributions",
    "cosine_similarity",
    "directions",
    "directions_in_use",
    "effective_neurons",
    "effective_rank",
    "layers_of",
    "leading_order",
    "measure",
    "merging_loss",
    "neurons",
    "numerical_rank",
    "relative_distance",
    "snapshot",
    "stable_rank",
    "stages",
]
