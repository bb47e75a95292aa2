"""Plan: what a training step holds in memory, computed before anything starts."""
