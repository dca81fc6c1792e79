"""One page about a study, for someone who will not read code; and its advice as sentences."""

from nucleate.reporting.checkpoints import report_checkpoints
from nucleate.reporting.diagnosed import say_diagnosis, say_finding
from nucleate.reporting.expected import say_outlook
from nucleate.reporting.page import report
from nucleate.reporting.sentences import LANGUAGES, advise

__all__ = [
    "LANGUAGES",
    "advise",
    "report",
    "report_checkpoints",
    "say_diagnosis",
    "say_finding",
    "say_outlook",
]
