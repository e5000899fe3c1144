"""Floor 2: one file per layer. A layer is an engine that stands on another."""
