"""Schemas as data: registered under their digest, judged by, and migrated between."""
