"""Backups: a database as a file, whole or what is newer than another file, and back again.

What is copied are rows with their revisions, so a backup holds every view: entries with history,
collections with indexes, stores, schemas, and the feed.
"""
