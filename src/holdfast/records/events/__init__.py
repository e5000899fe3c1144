"""Events: changes brought to whoever subscribed to them."""
