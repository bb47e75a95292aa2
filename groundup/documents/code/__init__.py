"""Code: the language, licence, quality and soundness of source files."""
