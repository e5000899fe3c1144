"""Handlers of a collection: around its operations, and of what is committed to it."""
