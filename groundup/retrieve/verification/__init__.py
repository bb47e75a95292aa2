"""Whether documents say what an answer or a text says."""
