"""batching: many requests on one model, its cache in blocks, each answered as if it ran alone."""
