"""Locks across tasks, threads and processes: leases, waiting, deadlocks."""
