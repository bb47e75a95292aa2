"""Training on many processes: which part of the work each of them does."""
