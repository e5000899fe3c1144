"""What the server has to allow a service, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.state.event_names import EventNameRules
from holdfast.state.keys import DEFAULT_PREFIX, HashTags, ScopedKeys

#: The commands of the adapter, and those a connection begins with.
COMMANDS = (
    "get", "set", "unlink", "exists", "pexpire", "pttl", "mget", "mset", "incrby", "decrby", "del",
    "incr", "multi", "exec", "evalsha", "eval", "publish", "subscribe", "unsubscribe", "psubscribe",
    "punsubscribe", "xadd", "xgroup|create", "xreadgroup", "xread", "xack", "xpending",
    "xautoclaim", "xrevrange", "xlen", "zadd", "zcard", "zrange", "zrangebyscore", "zrem",
    "zremrangebyscore", "zscore", "hmget", "hset", "getrange", "setrange", "setbit",
    "pexpireat", "time", "scan", "ping", "select", "client|setname", "hello", "client|tracking",
)  # fmt: skip


def acl_rule(
    user: str,
    service: str,
    *,
    prefix: str = DEFAULT_PREFIX,
    hash_tags: HashTags = "none",
    patterns: Sequence[str] = (),
) -> str:
    """The command that lets a user work on the keys of one service alone; add its password.

        ACL SETUSER app resetkeys resetchannels ... on

    Args:
        user: name of the user.
        service: the service's name.
        prefix: of the store.
        hash_tags: of the store.
        patterns: wildcards that are subscribed to outside scopes, such as `user:*`. The server
            compares them as they are written, so each has to be listed.
    """
    stem = ScopedKeys(service, prefix, hash_tags=hash_tags).stem
    # Scopes stand inside the braces, so the closing one is not part of what all keys begin with.
    stem = stem.removesuffix("}")
    allowed = " ".join("+" + command for command in COMMANDS)
    separated = f"~{stem}:* &{stem}:*"
    if hash_tags == "scope":
        separated += f" ~{stem}}}:* &{stem}}}:*"
    events = ScopedKeys(service, prefix, hash_tags=hash_tags).area("events")
    separated += "".join(f" &{events.stem}{EventNameRules.pattern(one)}" for one in patterns)
    return f"ACL SETUSER {user} reset on {separated} -@all {allowed}"
