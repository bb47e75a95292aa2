"""Published model shapes by name, with their sources."""
