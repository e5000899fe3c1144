"""State in this process alone, for tests: the whole semantics, calls on record, faults on demand."""
