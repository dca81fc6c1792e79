"""What this machine has."""

import os

try:
    MEMORY: float = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    """Bytes of memory; infinite where the system does not say."""
except (AttributeError, ValueError, OSError):
    MEMORY = float("inf")
