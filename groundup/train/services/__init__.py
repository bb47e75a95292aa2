"""Services: what happens around training steps, each an iterator over steps that wraps another."""
