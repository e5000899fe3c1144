"""The areas of a store: each works on keys of its own, and none sees another's."""
