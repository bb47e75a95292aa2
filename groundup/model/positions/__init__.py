"""Positional encodings: rotary, absolute and relative."""
