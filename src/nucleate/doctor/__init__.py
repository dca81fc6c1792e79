"""Why a network does not learn, and what to do: evidence, verdicts by measured criteria, remedies that were tried."""

from nucleate.doctor.diagnosis import Diagnosis, Finding, diagnose
from nucleate.doctor.evidence import Evidence, LayerEvidence
from nucleate.doctor.remedies import Remedy
from nucleate.doctor.verdicts import BY_NAME, CAUSES, Verdict

__all__ = ["BY_NAME", "CAUSES", "Diagnosis", "Evidence", "Finding", "LayerEvidence", "Remedy", "Verdict", "diagnose"]
