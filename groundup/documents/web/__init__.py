"""Web: from a page's address and bytes to its own text.

Steps: `web.urls` (urls.py), `web.main_text` (main_text.py), `web.lines` (lines.py); a step over all
pages of a site, `web.site_lines`, is in the corpus room. Nothing is imported here: a pipeline
imports what it names.
"""
