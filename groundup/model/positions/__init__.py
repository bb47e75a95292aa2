"""How does a model know the order of tokens? By turning, by adding, or by distance."""
