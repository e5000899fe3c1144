"""Floor 2: one file per engine. Engines do not know each other."""
