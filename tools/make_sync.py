"""Write `src/holdfast/sync/`, the sync twins, from the async handles: one file for each view.

    python -m tools.make_sync            write it
    python -m tools.make_sync --check    exit code 1 when it is not what would be written

A twin has the signatures and the docstrings of its handle, read from the living classes. Each
method drives the handle's own coroutine. `sync_twins/declarations.py` says what has a twin.
"""

import argparse
import sys

from tools.sync_twins.modules import ROOT, TARGET, generate


def main() -> int:
    parser = argparse.ArgumentParser(description="Write src/holdfast/sync/.")
    parser.add_argument("--check", action="store_true", help="only say whether it is fresh")
    wanted = parser.parse_args()
    texts = generate()
    if not wanted.check:
        TARGET.mkdir(exist_ok=True)
        for path, text in texts.items():
            path.write_text(text)
        return 0
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        name = path.relative_to(ROOT)
        print(f"{name} is not what its sources say; run `make sync` and commit it")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
