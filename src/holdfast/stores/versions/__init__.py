"""Saved versions: of one store, of a branch of one, and of all stores together."""
