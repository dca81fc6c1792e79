"""After training: the smaller network that does the same work, and how sure that is."""

import sys

from nucleate._verb import Verb
from nucleate.reduce._bound import Ball, Box
from nucleate.reduce._certify import FEWEST_ROWS, Certificate
from nucleate.reduce._export import Export, check_export_path, export, time_inference
from nucleate.reduce._merge import Groups, groups
from nucleate.reduce._peers import Peer, linear_model, narrow_network
from nucleate.reduce._reduce import reduce
from nucleate.reduce._reduction import BeforeAfter, Bound, Reduction
from nucleate.reduce._search import count_parameters
from nucleate.reduce._store import load_reduction, save_reduction
from nucleate.reduce._study import FOLDER, best_run, reduce_study
from nucleate.reduce._tolerance import check_tolerance

__all__ = [
    "FEWEST_ROWS",
    "FOLDER",
    "Ball",
    "BeforeAfter",
    "Bound",
    "Box",
    "Certificate",
    "Export",
    "Groups",
    "Peer",
    "Reduction",
    "best_run",
    "check_export_path",
    "check_tolerance",
    "count_parameters",
    "export",
    "groups",
    "linear_model",
    "load_reduction",
    "narrow_network",
    "reduce",
    "reduce_study",
    "save_reduction",
    "time_inference",
]

sys.modules[__name__].__class__ = Verb
