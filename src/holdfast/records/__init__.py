"""Floor 4: entries, with metadata, digests, history, locks and changes."""
