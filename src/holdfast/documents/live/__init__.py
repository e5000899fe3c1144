"""Live queries: ordered results that stay current, and what changes in them."""
