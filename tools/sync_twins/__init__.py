"""Writes the sync twins of async handles; run by `tools.make_sync`."""
