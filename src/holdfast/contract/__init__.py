"""Floor 1: the words every other floor shares. Standard library only."""
