"""One page about a study, for someone who will not read code; and its advice as sentences."""

from nucleate.reporting.page import report
from nucleate.reporting.sentences import LANGUAGES, advise

__all__ = [
    "LANGUAGES",
    "advise",
    "report",
]
