"""Plan: what a training step holds in memory, told before anything starts."""
