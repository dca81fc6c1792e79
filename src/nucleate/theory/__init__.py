"""The theory of initial condensation: effective dynamics, blow-up, conditions, the general form, factorisation."""

from nucleate.theory.blowup import blowup_time, linear_blowup_time, potential_blowup_time
from nucleate.theory.condition import Condensation, Conditions, Moments, condensation, conditions, split_first_layer
from nucleate.theory.correlation import (
    correlation,
    correlation_blowup_time,
    correlation_potential,
    degree,
    leading_part,
    moment_form,
)
from nucleate.theory.directions import TargetDirections, target_directions
from nucleate.theory.effective import FirstIntegrals, State, energy, first_integrals, vector_field
from nucleate.theory.enclosure import BlowupTime, Outcome
from nucleate.theory.factorization import (
    Comparison,
    Descent,
    FactorizationForecast,
    compare,
    completion_loss,
    descend,
    draw_factors,
    escape_time,
    forecast_factorization,
    sensing_loss,
)
from nucleate.theory.linear import chain_potential, linear_potential, two_layer_solution
from nucleate.theory.trajectory import Trajectory, states_at_fractions, states_at_times

__all__ = [
    "BlowupTime",
    "Comparison",
    "Condensation",
    "Conditions",
    "Descent",
    "FactorizationForecast",
    "FirstIntegrals",
    "Moments",
    "Outcome",
    "State",
    "TargetDirections",
    "Trajectory",
    "blowup_time",
    "chain_potential",
    "compare",
    "completion_loss",
    "condensation",
    "conditions",
    "correlation",
    "correlation_blowup_time",
    "correlation_potential",
    "degree",
    "descend",
    "draw_factors",
    "energy",
    "escape_time",
    "first_integrals",
    "forecast_factorization",
    "leading_part",
    "linear_blowup_time",
    "linear_potential",
    "moment_form",
    "potential_blowup_time",
    "sensing_loss",
    "split_first_layer",
    "states_at_fractions",
    "states_at_times",
    "target_directions",
    "two_layer_solution",
    "vector_field",
]
