"""Why a network does not learn, and what to do: evidence, verdicts by measured criteria, remedies that were tried."""

from nucleate.doctor.diagnosis import Diagnosis, Finding, diagnose, judge
from nucleate.doctor.evidence import Evidence, LayerEvidence, gather
from nucleate.doctor.remedies import Remedy, Trials
from nucleate.doctor.verdicts import BY_NAME, CAUSES, Verdict

__all__ = [
    "BY_NAME",
    "CAUSES",
    "Diagnosis",
    "Evidence",
    "Finding",
    "LayerEvidence",
    "Remedy",
    "Trials",
    "Verdict",
    "diagnose",
    "gather",
    "judge",
]
