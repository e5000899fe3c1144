"""Provable history: the feed under one hash, and receipts that anybody can check."""
