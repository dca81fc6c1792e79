"""One page about a study, for someone who will not read code; and its advice as sentences."""

from typing import TYPE_CHECKING

from nucleate._lazy import loader

if TYPE_CHECKING:
    from nucleate.reporting.checkpoints import report_checkpoints
    from nucleate.reporting.diagnosed import say_diagnosis
    from nucleate.reporting.expected import say_outlook
    from nucleate.reporting.page import report
    from nucleate.reporting.sentences import advise
    from nucleate.reporting.words import LANGUAGES

# Sentences need none of what draws the page.
_HOMES = {
    "checkpoints": ("report_checkpoints",),
    "diagnosed": ("say_diagnosis",),
    "expected": ("say_outlook",),
    "page": ("report",),
    "sentences": ("advise",),
    "words": ("LANGUAGES",),
}

__all__ = ["LANGUAGES", "advise", "report", "report_checkpoints", "say_diagnosis", "say_outlook"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
