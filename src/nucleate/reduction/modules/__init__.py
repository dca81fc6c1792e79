"""Reductions of PyTorch modules: fewer neurons, channels and heads that do the same work. It imports no PyTorch."""

from typing import TYPE_CHECKING

from nucleate._lazy import loader

if TYPE_CHECKING:
    from nucleate.reduction.modules.costs import Timing
    from nucleate.reduction.modules.exports import ModuleExport, Quantized
    from nucleate.reduction.modules.reducing import reduce_module
    from nucleate.reduction.modules.reduction import ModuleReduction

_HOMES = {
    "costs": ("Timing",),
    "exports": ("ModuleExport", "Quantized"),
    "reducing": ("reduce_module",),
    "reduction": ("ModuleReduction",),
}

__all__ = ["ModuleExport", "ModuleReduction", "Quantized", "Timing", "reduce_module"]

__getattr__ = loader(__name__, _HOMES)
