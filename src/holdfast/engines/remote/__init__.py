"""What engines share whose driver talks to a server.

A driver gives a `Transport`: one way to the server, for one event loop. Everything else is here:
round trips shared by all tasks of a loop, writes sent again after a broken connection without
being applied twice, bounds, waiting for commits, and a thread with a loop for callers without one.
"""

from holdfast.engines.remote.config import RemoteConfig
from holdfast.engines.remote.engine import RemoteEngine
from holdfast.engines.remote.lease import Lease
from holdfast.engines.remote.transport import Transport

__all__ = ["Lease", "RemoteConfig", "RemoteEngine", "Transport"]
