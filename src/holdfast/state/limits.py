"""Everything in the state view that could grow has its limit here, by name."""

from __future__ import annotations

from typing import Final

#: A whole key, prefix and scopes included, in bytes.
KEY_BYTES_MAX: Final = 64 * 1024
#: A key above this many bytes is worth a warning.
KEY_BYTES_ADVISED: Final = 1024
#: A value above this many bytes is refused, and above the second worth a warning.
VALUE_BYTES_MAX: Final = 512 * 1024 * 1024
VALUE_BYTES_ADVISED: Final = 1024 * 1024
#: An identifier of a scope, in characters.
IDENTIFIER_CHARACTERS_MAX: Final = 256
#: A service, the key of a scope, one segment of a channel, in characters.
NAME_CHARACTERS_MAX: Final = 128
PREFIX_CHARACTERS_MAX: Final = 256
#: A whole channel, in characters.
CHANNEL_CHARACTERS_MAX: Final = 1024
#: Keys in one batch.
BATCH_KEYS_MAX: Final = 10_000
#: A time-to-live, in seconds: a thousand years say "never".
TTL_MAX_S: Final = 1000 * 365 * 86400.0
#: What a counter can hold.
COUNTER_MIN: Final = -(1 << 63)
COUNTER_MAX: Final = (1 << 63) - 1
#: Limits and steps of limited counters are whole numbers that a double holds exactly, and the next
#: ones, too: a sum that passes a limit by one is rounded to no less.
EXACT_MAX: Final = (1 << 53) - 1
#: Messages that wait in memory for one subscriber; further ones are dropped and counted.
SUBSCRIBER_QUEUE_MAX: Final = 1024
#: Messages that one read of a stream returns at most.
READ_COUNT_MAX: Final = 10_000
#: How long one read of a stream may block, in seconds.
BLOCK_MAX_S: Final = 3600.0
#: Keys that one step of a scan looks at, at most.
SCAN_COUNT_MAX: Final = 10_000
#: Messages of a stream that one consumer works on at the same time, at most.
CONCURRENCY_MAX: Final = 1024
#: How often a message is given out before it becomes a dead letter, at most.
DELIVERIES_MAX: Final = 1_000_000
