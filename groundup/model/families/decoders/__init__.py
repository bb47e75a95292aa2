"""Decoders that differ from LLaMA in fields of the configuration: a table each, for both ways."""
