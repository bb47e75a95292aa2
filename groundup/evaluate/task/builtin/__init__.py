"""Built-in tasks: what packages carry or generators make, one file a family."""
