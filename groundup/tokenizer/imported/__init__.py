"""Tokenizers that others made: every kind that people open, behind the one contract."""
