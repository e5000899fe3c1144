"""Plain rows: a value that may expire, without versions; for stores, counters, claims."""
