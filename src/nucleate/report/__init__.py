"""Showing studies: one page for someone who will not read code, and figures for print."""

import sys

from nucleate._verb import Verb
from nucleate.report import figures
from nucleate.report._findings import recommended_run
from nucleate.report._report import report
from nucleate.report._texts import LANGUAGES

__all__ = ["LANGUAGES", "figures", "recommended_run", "report"]

sys.modules[__name__].__class__ = Verb
