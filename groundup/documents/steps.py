"""The steps that this room offers, by the names that a pipeline calls them.

A step is a class whose only argument is its configuration; its module is imported when a pipeline
names it, so that nobody waits for, or installs, what is not used.
"""

STEPS: dict[str, str] = {
    "articles.latex": "groundup.documents.articles.latex:Latex",
    "articles.manual": "groundup.documents.articles.manual:Manual",
    "articles.news": "groundup.documents.articles.news:News",
    "articles.parts": "groundup.documents.articles.parts:Parts",
    "articles.xml": "groundup.documents.articles.markup:Xml",
    "books.chapters": "groundup.documents.books.chapters:Chapters",
    "books.footnotes": "groundup.documents.books.footnotes:Footnotes",
    "books.heads": "groundup.documents.books.heads:Heads",
    "books.hyphens": "groundup.documents.books.hyphens:Hyphens",
    "books.ocr": "groundup.documents.books.ocr:Ocr",
    "books.paragraphs": "groundup.documents.books.paragraphs:Paragraphs",
    "books.publisher": "groundup.documents.books.publisher:Publisher",
    "books.rights": "groundup.documents.books.rights:Rights",
    "code.comments": "groundup.documents.code.comments:Comments",
    "code.data": "groundup.documents.code.data:Data",
    "code.generated": "groundup.documents.code.origin:Generated",
    "code.language": "groundup.documents.code.language:Language",
    "code.licence": "groundup.documents.code.licences:Licence",
    "code.minified": "groundup.documents.code.origin:Minified",
    "code.notebook": "groundup.documents.code.notebook:Notebook",
    "code.quality": "groundup.documents.code.quality:Quality",
    "code.syntax": "groundup.documents.code.syntax:Syntax",
    "code.vendored": "groundup.documents.code.origin:Vendored",
    "conversations.boilerplate": "groundup.documents.conversations.boilerplate:Boilerplate",
    "conversations.mail": "groundup.documents.conversations.mail:Mail",
    "conversations.quality": "groundup.documents.conversations.quality:Quality",
    "conversations.turns": "groundup.documents.conversations.turns:Turns",
    "documents.read": "groundup.documents.readers.kinds:ReadMarkup",
    "web.harmful": "groundup.documents.web.harmful:Harmful",
    "web.lines": "groundup.documents.web.lines:Lines",
    "web.main_text": "groundup.documents.web.main_text:MainText",
    "web.spam": "groundup.documents.web.spam:Spam",
    "web.urls": "groundup.documents.web.urls:Urls",
}
"""Name, such as `web.lines`, to `module:Class`."""
