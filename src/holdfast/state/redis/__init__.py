"""State on Redis, over Redis's own types: the connection, the scripts, the adapter."""
