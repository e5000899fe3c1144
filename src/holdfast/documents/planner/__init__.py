"""How a query is answered: which index, which bounds, what is looked at again."""
