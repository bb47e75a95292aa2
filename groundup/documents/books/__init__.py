"""Books: what a publisher, a typesetter and a scanner put around the author's words.

Steps, in the order that a pipeline of books calls them: `books.rights`, `books.heads`,
`books.footnotes`, `books.publisher`, `books.ocr`, `books.hyphens`, `books.paragraphs`,
`books.chapters`, `books.repeats`, `books.style`. Each is in the file of its name;
docs/corpus-books.md shows them at work. They know shapes, places and words, and no one book.
"""
