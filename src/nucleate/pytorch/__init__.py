"""PyTorch models: exchanged with networks of this package, and how their training is set up. It imports no PyTorch."""

from typing import TYPE_CHECKING

from nucleate._lazy import loader

if TYPE_CHECKING:
    from nucleate.pytorch.exchange import from_torch, to_torch
    from nucleate.pytorch.starts import init_

_HOMES = {"exchange": ("from_torch", "to_torch"), "starts": ("init_",)}

__all__ = ["from_torch", "init_", "to_torch"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
