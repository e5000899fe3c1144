"""The child's side of `child.py`: `python -m benchmarks.worker` with the number of a descriptor."""

from __future__ import annotations

import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.child import ERROR_CHARACTERS_MAX, Session


def serve(connection: Connection) -> None:
    """Answer calls until the parent goes."""
    session = Session()
    try:
        while True:
            try:
                function, args, kwargs = connection.recv()
            except EOFError:
                return
            answer: tuple[bool, Any]
            try:
                answer = (True, function(session, *args, **kwargs))
            except Exception:
                answer = (False, traceback.format_exc()[-ERROR_CHARACTERS_MAX:])
            connection.send(answer)
    finally:
        session.close()


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
