"""Pre-training: a base model from token shards."""
