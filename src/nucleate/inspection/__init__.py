"""Any trained model looked at as it is: how condensed its layers are, beyond what chance makes of their shapes."""

from nucleate._lazy import loader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nucleate.inspection.inspection import Inspection, as_lines, inspect

__all__ = ["Inspection", "as_lines", "inspect"]

__getattr__ = loader(__name__, {"inspection": ("Inspection", "as_lines", "inspect")})
