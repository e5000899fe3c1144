"""The mutex of a namespace: in this process by a queue, between processes by a lease."""
