"""Objects through Z and tracks through time: when they are made, and what shows them."""
