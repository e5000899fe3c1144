"""`redis://`: a database on a Redis server, behind Sentinel, or in one slot of a Redis Cluster."""

from holdfast.engines.redis.config import RedisConfig
from holdfast.engines.redis.engine import RedisEngine

__all__ = ["RedisConfig", "RedisEngine"]
