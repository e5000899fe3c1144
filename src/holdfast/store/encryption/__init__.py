"""Encryption of a database: where rows stand, what users say of it, its keys."""
