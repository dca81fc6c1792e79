"""After training: the smaller network that does the same work, and how sure that is."""

from typing import TYPE_CHECKING

from nucleate._lazy import loader

if TYPE_CHECKING:
    from nucleate.reduction.bound import MERGE, Ball, Box
    from nucleate.reduction.certificate import FEWEST_ROWS, Certificate, OfClass
    from nucleate.reduction.interpolation import INTERPOLATE
    from nucleate.reduction.layers import Affine, Bound, Method, Narrow, NarrowLayer, WideLayer, keep_neurons
    from nucleate.reduction.merging import Groups, groups
    from nucleate.reduction.modules.costs import Timing
    from nucleate.reduction.modules.exports import ModuleExport, Quantized
    from nucleate.reduction.modules.reducing import reduce_module
    from nucleate.reduction.modules.reduction import ModuleReduction
    from nucleate.reduction.of_study import FOLDER, reduce_study
    from nucleate.reduction.reducing import METHODS, reduce
    from nucleate.reduction.reduction import BeforeAfter, Reduction, guarantee
    from nucleate.reduction.saved import load_reduction, save_reduction
    from nucleate.reduction.selection import SELECT

_HOMES = {
    "bound": ("MERGE", "Ball", "Box"),
    "certificate": ("FEWEST_ROWS", "Certificate", "OfClass"),
    "interpolation": ("INTERPOLATE",),
    "layers": ("Affine", "Bound", "Method", "Narrow", "NarrowLayer", "WideLayer", "keep_neurons"),
    "merging": ("Groups", "groups"),
    "modules.costs": ("Timing",),
    "modules.exports": ("ModuleExport", "Quantized"),
    "modules.reducing": ("reduce_module",),
    "modules.reduction": ("ModuleReduction",),
    "of_study": ("FOLDER", "reduce_study"),
    "reducing": ("METHODS", "reduce"),
    "reduction": ("BeforeAfter", "Reduction", "guarantee"),
    "saved": ("load_reduction", "save_reduction"),
    "selection": ("SELECT",),
}

__all__ = [
    "FEWEST_ROWS",
    "FOLDER",
    "INTERPOLATE",
    "MERGE",
    "METHODS",
    "SELECT",
    "Affine",
    "Ball",
    "BeforeAfter",
    "Bound",
    "Box",
    "Certificate",
    "Groups",
    "Method",
    "ModuleExport",
    "ModuleReduction",
    "Narrow",
    "NarrowLayer",
    "OfClass",
    "Quantized",
    "Reduction",
    "Timing",
    "WideLayer",
    "groups",
    "guarantee",
    "keep_neurons",
    "load_reduction",
    "reduce",
    "reduce_module",
    "reduce_study",
    "save_reduction",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
