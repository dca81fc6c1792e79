"""Measures of a network: directions, clusters, effective neurons, ranks, distances. All in float64, at any scale."""

from nucleate.observe._alignment import alignment
from nucleate.observe._cosine import condensed_pairs, cosine_similarity, leading_order
from nucleate.observe._directions import Directions, directions
from nucleate.observe._effective_neurons import effective_neurons
from nucleate.observe._measure import measure
from nucleate.observe._neurons import neurons
from nucleate.observe._ranks import effective_rank, numerical_rank, stable_rank
from nucleate.observe._relative_distance import relative_distance
from nucleate.observe._sizes import amplitudes, contributions
from nucleate.observe._snapshot import Snapshot, snapshot
from nucleate.observe._stages import AHEAD, FLAT, Stages, stages

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
