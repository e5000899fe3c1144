"""Making, building, dropping and checking the indexes of a collection."""
