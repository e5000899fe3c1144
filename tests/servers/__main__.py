"""Run a command on a server of its own: `python -m tests.servers redis COMMAND ... {url} ...`.

`{url}` in the command stands for the URL of an empty database. The server ends with the command.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys

from tests.servers.processes import postgres_server, redis_server

URLS = {
    "redis": "redis://127.0.0.1:{port}/0?prefix=demo",
    "postgres": "postgres://postgres@127.0.0.1:{port}/postgres?schema=demo",
}


def main(engine: str, *command: str) -> int:
    start = {"redis": redis_server, "postgres": postgres_server}[engine]
    # A polite end unwinds the stack, and with it the server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with start() as server:
        url = URLS[engine].format(port=server.port)
        with contextlib.suppress(KeyboardInterrupt):
            arguments = [part.replace("{url}", url) for part in command]
            return subprocess.run(arguments, check=False).returncode
    return 130


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in URLS:
        sys.exit(str(__doc__))
    sys.exit(main(*sys.argv[1:]))
