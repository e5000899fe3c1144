"""Indexes of a collection: what they are, what a commit writes into them, how they are built."""
