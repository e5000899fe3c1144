"""Documents: typed collections, queries and indexes."""
