"""Decorators of the entry store's one interface; the core knows none of them."""
