"""Prepare: one TOML file in, a corpus out, every removal with its reason."""
