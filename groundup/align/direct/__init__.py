"""How does a model learn from preferences without a reward? Losses of pairs and of single answers."""
