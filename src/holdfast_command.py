"""The console command `holdfast`, before anything of Holdfast is loaded.

Loading takes a moment, and Python answers an interrupt in it with a trace. Until the command line
itself listens, Ctrl-C ends the process at once and without a word, as it does a program in C. So
this module stands beside the package: importing anything inside it loads the package first.
"""

import signal
import sys


def main() -> int:
    """Run the command line; its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from holdfast.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
