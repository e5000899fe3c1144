"""What this process knows of the driver as a whole."""

from __future__ import annotations

import os
import threading


class Driver:
    """The driver takes two opens of one path at one moment for openings of two databases."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        #: Something of the parent's stayed open in this child.
        self.inherited = False

    def renew(self) -> None:
        """In a forked child: another thread may have had the lock at the fork."""
        self.lock = threading.RLock()


driver = Driver()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=driver.renew)
