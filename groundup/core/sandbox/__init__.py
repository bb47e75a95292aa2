"""Foreign code: run it where it reaches nothing, or refuse; see docs/core.md."""
