"""The five services an entry store is put together from."""
