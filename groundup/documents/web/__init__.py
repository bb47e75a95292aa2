"""Web: pages to clean main text."""
