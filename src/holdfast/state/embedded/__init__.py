"""State on a Holdfast database: plain rows, in its commits, for all processes that have it open."""
