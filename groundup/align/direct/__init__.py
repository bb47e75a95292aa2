"""How does a model learn from preferences without a reward? By losses of whole answers."""
