"""Articles: the text of papers and manual pages, and their authors, captions and references."""
