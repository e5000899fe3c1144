"""Vectors: what lies nearest to a vector, exactly or nearly, alone or together with words."""
