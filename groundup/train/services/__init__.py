"""Services: what happens around training steps, each an iterator that wraps another."""
