"""GloVe: co-occurrence counts, and vectors fitted to them."""
