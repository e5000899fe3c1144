"""A prompt that knows `await`, as `python -m asyncio` is, for lines that come through a pipe.

Some releases of Python read no block of several lines from a pipe with `python -m asyncio`.
"""

import ast
import asyncio
import code
import inspect
import types


class Prompt(code.InteractiveConsole):
    def __init__(self, runner: asyncio.Runner) -> None:
        super().__init__()
        self.runner = runner
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def runcode(self, code: types.CodeType) -> None:
        try:
            result = types.FunctionType(code, self.locals)()
            if inspect.iscoroutine(result):
                self.runner.run(result)
        except Exception:
            self.showtraceback()


if __name__ == "__main__":
    with asyncio.Runner() as runner:
        Prompt(runner).interact(banner="", exitmsg="")
