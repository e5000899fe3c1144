"""Codecs: values, keys and patterns to bytes or text and back. Pure; no input or output."""
