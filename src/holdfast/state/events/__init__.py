"""Events: messages to everybody who listens now, under names that may have a schema."""
