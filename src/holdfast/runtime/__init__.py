"""How callers wait: on an event loop, or in their own thread."""
