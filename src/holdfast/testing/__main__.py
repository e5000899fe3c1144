"""`python -m holdfast.testing`: the other process of a promise; see `worker.py`."""

import asyncio
import sys

from holdfast.testing.worker import work

asyncio.run(work(*sys.argv[1:]))
