"""Checkpoints: all that a run needs to resume as if nothing had happened."""
