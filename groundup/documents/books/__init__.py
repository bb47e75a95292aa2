"""Books: remove what publishers, typesetters and scanners put around the author's text.

The steps, in the order in which a pipeline calls them: `books.rights`, `books.heads`,
`books.footnotes`, `books.publisher`, `books.ocr`, `books.hyphens`, `books.paragraphs`,
`books.chapters`. Each is in the file of its name; docs/reference/corpus/books.md shows them in use.
"""
