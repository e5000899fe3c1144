"""The feed: every change of the database, and who wants to know of it."""
