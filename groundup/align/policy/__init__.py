"""How does a model learn from rewards? It answers, is scored, and likely good answers gain."""
