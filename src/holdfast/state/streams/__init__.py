"""Streams: messages that are kept, and given to each group once until they are acknowledged."""
