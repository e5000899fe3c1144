"""Documents: collections of typed values with queries, indexes, transactions and live results."""
