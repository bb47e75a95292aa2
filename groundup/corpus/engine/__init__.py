"""Engine: the same steps over many shards, here or on a cluster, to the same bytes."""
