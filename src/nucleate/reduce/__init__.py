"""After training: the smaller network that does the same work, and how sure that is."""

import sys

from nucleate._verb import Verb
from nucleate.reduce._bound import Ball, Box
from nucleate.reduce._certify import Certificate
from nucleate.reduce._merge import Groups, groups
from nucleate.reduce._peers import Peer, linear_model, narrow_network
from nucleate.reduce._reduce import reduce
from nucleate.reduce._reduction import BeforeAfter, Bound, Reduction
from nucleate.reduce._search import count_parameters

__all__ = [
    "Ball",
    "BeforeAfter",
    "Bound",
    "Box",
    "Certificate",
    "Groups",
    "Peer",
    "Reduction",
    "count_parameters",
    "groups",
    "linear_model",
    "narrow_network",
    "reduce",
]

sys.modules[__name__].__class__ = Verb
