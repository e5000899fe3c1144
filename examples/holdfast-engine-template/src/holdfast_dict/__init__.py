"""`dict://`: an engine on a dict, to start from."""

from holdfast_dict.config import DictConfig
from holdfast_dict.engine import DictEngine
from holdfast_dict.handlers import Stamped
from holdfast_dict.layer import SmallValues

__all__ = ["DictConfig", "DictEngine", "SmallValues", "Stamped"]
