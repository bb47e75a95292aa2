"""Structure: the titles, sentences and blocks of a text."""
