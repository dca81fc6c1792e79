"""Measures of a network: directions, clusters, effective neurons, ranks, distances. All in float64, at any scale."""

from nucleate.observe.curve import AHEAD, FLAT, Stages, stages
from nucleate.observe.directions import (
    Directions,
    alignment,
    condensed_pairs,
    cosine_similarity,
    directions,
    leading_order,
)
from nucleate.observe.layers import amplitudes, contributions, effective_neurons, neurons
from nucleate.observe.measures import measure
from nucleate.observe.ranks import effective_rank, numerical_rank, relative_distance, stable_rank
from nucleate.observe.snapshots import Snapshot, snapshot

__all__ = [
    "AHEAD",
    "FLAT",
    "Directions",
    "Snapshot",
    "Stages",
    "alignment",
    "amplitudes",
    "condensed_pairs",
    "contributions",
    "cosine_similarity",
    "directions",
    "effective_neurons",
    "effective_rank",
    "leading_order",
    "measure",
    "neurons",
    "numerical_rank",
    "relative_distance",
    "snapshot",
    "stable_rank",
    "stages",
]
