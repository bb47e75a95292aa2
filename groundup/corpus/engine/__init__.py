"""Engine: runs steps over many shards, locally or on a cluster, with identical output."""
