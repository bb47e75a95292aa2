"""The harness: ask a model what tasks want to know, keep every answer, and report."""
