"""Families of encoders like BERT, each an outline: a table of its names and keys."""
