"""Any trained model looked at as it is: how condensed its layers are, beyond what chance makes of their shapes."""

from nucleate._lazy import loader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nucleate.inspection.checkpoints import Checkpoints
    from nucleate.inspection.events import Event
    from nucleate.inspection.hosts import CondensationCallback, CondensationMonitor, keras_callback
    from nucleate.inspection.inspecting import inspect
    from nucleate.inspection.inspection import Inspection
    from nucleate.inspection.measuring import Picture
    from nucleate.inspection.watching import Watch, watch

__all__ = [
    "Checkpoints",
    "CondensationCallback",
    "CondensationMonitor",
    "Event",
    "Inspection",
    "Picture",
    "Watch",
    "inspect",
    "keras_callback",
    "watch",
]

_HOMES = {
    "checkpoints": ("Checkpoints",),
    "events": ("Event",),
    "hosts": ("CondensationCallback", "CondensationMonitor", "keras_callback"),
    "inspecting": ("inspect",),
    "inspection": ("Inspection",),
    "measuring": ("Picture",),
    "watching": ("Watch", "watch"),
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
