"""Web: from a page's address and bytes to its own text, and how far to trust it.

Steps: `web.urls` (urls.py), `web.main_text` (main_text.py), `web.lines` (lines.py), `web.spam`
(spam.py), `web.harmful` (harmful.py); survey: `web.site_lines` (sites.py). Nothing is imported
here: a pipeline imports what it names.
"""
