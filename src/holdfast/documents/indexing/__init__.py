"""Making, building and checking indexes: what stands on a collection's storage."""
