"""State in this process alone, for tests: whole semantics, calls on record, faults on demand."""
