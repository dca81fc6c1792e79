"""Any trained model looked at as it is: how condensed its layers are, beyond what chance makes of their shapes."""

from nucleate._lazy import loader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nucleate.inspection.checkpoints import Checkpoints
    from nucleate.inspection.files import find_checkpoints
    from nucleate.inspection.inspection import Inspection, as_lines, inspect

__all__ = ["Checkpoints", "Inspection", "as_lines", "find_checkpoints", "inspect"]

__getattr__ = loader(
    __name__,
    {
        "checkpoints": ("Checkpoints",),
        "files": ("find_checkpoints",),
        "inspection": ("Inspection", "as_lines", "inspect"),
    },
)
