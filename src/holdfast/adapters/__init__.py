"""Holdfast behind the interfaces of other libraries: one module for each, imported by its name."""
