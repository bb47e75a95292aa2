"""Licences: which licence does a file or a work state for itself, and is it allowed?

Source files copy texts and tags, which texts.py recognises word for word; books and articles name
licences in sentences of eleven languages, which statements.py reads. The phrases of both are data.
"""
