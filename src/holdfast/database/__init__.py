"""The handle on a database: opening, views, transactions, snapshots."""
