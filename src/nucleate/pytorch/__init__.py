"""PyTorch models: exchanged with networks of this package, and how their training is set up. It imports no PyTorch."""

from typing import TYPE_CHECKING

from nucleate._lazy import loader

if TYPE_CHECKING:
    from nucleate.pytorch.exchange import (
        from_torch,
        import_torch,
        is_module,
        same_attributes,
        same_random_numbers,
        to_torch,
    )
    from nucleate.pytorch.setup import Setup, read_setup
    from nucleate.pytorch.starts import init_

_HOMES = {
    "exchange": ("from_torch", "import_torch", "is_module", "same_attributes", "same_random_numbers", "to_torch"),
    "setup": ("Setup", "read_setup"),
    "starts": ("init_",),
}

__all__ = [
    "Setup",
    "from_torch",
    "import_torch",
    "init_",
    "is_module",
    "read_setup",
    "same_attributes",
    "same_random_numbers",
    "to_torch",
]

__getattr__ = loader(__name__, _HOMES)
