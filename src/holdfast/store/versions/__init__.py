"""Versioned values: their rows, their past, and how much of it is kept."""
