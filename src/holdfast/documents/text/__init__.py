"""Full-text search: words of documents as rows of an ordered store, and ranked queries."""
