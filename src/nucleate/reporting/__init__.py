"""One page about a study, for someone who will not read code."""

from nucleate.reporting.expected import say_outlook
from nucleate.reporting.page import report
from nucleate.reporting.sentences import LANGUAGES

__all__ = [
    "LANGUAGES",
    "report",
    "say_outlook",
]
