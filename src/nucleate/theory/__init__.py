"""The theory of initial condensation: effective dynamics, blow-up, conditions, the general form, factorization."""

from typing import TYPE_CHECKING

from nucleate._lazy import loader
from nucleate.theory.convolution import Convolution, KernelDirections, kernel_directions, patch_moment
from nucleate.theory.correlation import (
    correlation,
    correlation_blowup_time,
    correlation_potential,
    degree,
    leading_part,
    moment_form,
)
from nucleate.theory.decay import shrinks_for_ever
from nucleate.theory.directions import TargetDirections, singular_directions, target_directions
from nucleate.theory.effective import FirstIntegrals, State, energy, first_integrals, vector_field
from nucleate.theory.linear import chain_potential, end_to_end, linear_potential, two_layer_solution
from nucleate.theory.scaling import NearZero, near_zero

if TYPE_CHECKING:
    from nucleate.theory.attention import (
        AttentionStage,
        RankCollapse,
        attention_stage,
        key_query_moment,
        path_moment,
        rank_collapse,
        settled_map,
        uniform_attention,
    )
    from nucleate.theory.blowup import BlowupKind, BlowupTime, blowup_time, linear_blowup_time, potential_blowup_time
    from nucleate.theory.condition import Condensation, Conditions, Times, condensation, conditions, split_first_layer
    from nucleate.theory.factorization import (
        FactorizationForecast,
        Factors,
        MatrixLoss,
        completion_loss,
        draw_factors,
        escape_time,
        forecast_factorization,
        leading_moment,
        sensing_loss,
    )
    from nucleate.theory.trajectory import Trajectory, states_at_fractions, states_at_times

# These bring a solver of differential equations, which forecasts do without.
_HOMES = {
    "attention": (
        "AttentionStage",
        "RankCollapse",
        "attention_stage",
        "key_query_moment",
        "path_moment",
        "rank_collapse",
        "settled_map",
        "uniform_attention",
    ),
    "blowup": ("BlowupKind", "BlowupTime", "blowup_time", "linear_blowup_time", "potential_blowup_time"),
    "condition": ("Condensation", "Conditions", "Times", "condensation", "conditions", "split_first_layer"),
    "factorization": (
        "FactorizationForecast",
        "Factors",
        "MatrixLoss",
        "completion_loss",
        "draw_factors",
        "escape_time",
        "forecast_factorization",
        "leading_moment",
        "sensing_loss",
    ),
    "trajectory": ("Trajectory", "states_at_fractions", "states_at_times"),
}

__all__ = [
    "AttentionStage",
    "BlowupKind",
    "BlowupTime",
    "Condensation",
    "Conditions",
    "Convolution",
    "FactorizationForecast",
    "Factors",
    "FirstIntegrals",
    "KernelDirections",
    "MatrixLoss",
    "NearZero",
    "RankCollapse",
    "State",
    "TargetDirections",
    "Times",
    "Trajectory",
    "attention_stage",
    "blowup_time",
    "chain_potential",
    "completion_loss",
    "condensation",
    "conditions",
    "correlation",
    "correlation_blowup_time",
    "correlation_potential",
    "degree",
    "draw_factors",
    "end_to_end",
    "energy",
    "escape_time",
    "first_integrals",
    "forecast_factorization",
    "kernel_directions",
    "key_query_moment",
    "leading_moment",
    "leading_part",
    "linear_blowup_time",
    "linear_potential",
    "moment_form",
    "near_zero",
    "patch_moment",
    "path_moment",
    "potential_blowup_time",
    "rank_collapse",
    "sensing_loss",
    "settled_map",
    "shrinks_for_ever",
    "singular_directions",
    "split_first_layer",
    "states_at_fractions",
    "states_at_times",
    "target_directions",
    "two_layer_solution",
    "uniform_attention",
    "vector_field",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
