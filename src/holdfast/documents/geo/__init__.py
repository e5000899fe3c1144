"""Places: points and boxes on the earth as keys of an ordered store, and what lies near them."""
