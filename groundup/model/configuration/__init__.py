"""Everything but the weights that determines what a model computes."""
