"""`file:///path`: a directory of append-only journals that people can read and mend."""

from holdfast.engines.file.config import FileConfig
from holdfast.engines.file.engine import FileEngine

__all__ = ["FileConfig", "FileEngine"]
