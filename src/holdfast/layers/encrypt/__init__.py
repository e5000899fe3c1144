"""The layer that encrypts what an engine stores: cipher, providers of keys, ring of keys."""
