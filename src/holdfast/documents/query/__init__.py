"""The query language of documents: one tree of conditions from three spellings, and its meaning."""
