"""Any trained model looked at as it is: how condensed its layers are, beyond what chance makes of their shapes."""

from nucleate._lazy import loader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nucleate.inspection.checkpoints import Checkpoints
    from nucleate.inspection.events import Event
    from nucleate.inspection.files import RECORD, find_checkpoints
    from nucleate.inspection.hosts import CondensationCallback, CondensationMonitor, keras_callback
    from nucleate.inspection.inspecting import inspect
    from nucleate.inspection.inspection import Inspection, as_lines
    from nucleate.inspection.measuring import Picture
    from nucleate.inspection.watching import Watch, watch

__all__ = [
    "RECORD",
    "Checkpoints",
    "CondensationCallback",
    "CondensationMonitor",
    "Event",
    "Inspection",
    "Picture",
    "Watch",
    "as_lines",
    "find_checkpoints",
    "inspect",
    "keras_callback",
    "watch",
]

_HOMES = {
    "checkpoints": ("Checkpoints",),
    "events": ("Event",),
    "files": ("RECORD", "find_checkpoints"),
    "hosts": ("CondensationCallback", "CondensationMonitor", "keras_callback"),
    "inspecting": ("inspect",),
    "inspection": ("Inspection", "as_lines"),
    "measuring": ("Picture",),
    "watching": ("Watch", "watch"),
}

__getattr__ = loader(__name__, _HOMES)
