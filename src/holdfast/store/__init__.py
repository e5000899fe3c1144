"""Floor 3: open by URL, transactions, time-to-live, the feed, and how callers wait."""
