"""chunks: how documents are split into passages, and which size finds the most."""
