"""The steps of this room, by their names in pipelines.

A step is a class whose only argument is its configuration. Its module is imported when a pipeline
names it, so that unused steps cost no time and no installation.
"""

STEPS: dict[str, str] = {
    "articles.latex": "groundup.documents.articles.latex:LatexStep",
    "articles.manual": "groundup.documents.articles.manual:Manual",
    "articles.parts": "groundup.documents.articles.parts:ArticleParts",
    "articles.xml": "groundup.documents.articles.markup:ArticleXml",
    "books.chapters": "groundup.documents.books.chapters:Chapters",
    "books.footnotes": "groundup.documents.books.footnotes:Footnotes",
    "books.heads": "groundup.documents.books.heads:Heads",
    "books.hyphens": "groundup.documents.books.hyphens:Hyphens",
    "books.ocr": "groundup.documents.books.ocr:Ocr",
    "books.paragraphs": "groundup.documents.books.paragraphs:ParagraphJoiner",
    "books.publisher": "groundup.documents.books.publisher:FrontMatter",
    "books.rights": "groundup.documents.books.rights:Rights",
    "code.comments": "groundup.documents.code.quality:CommentFilter",
    "code.generated": "groundup.documents.code.generated:GeneratedFilter",
    "code.language": "groundup.documents.code.language:CodeLanguage",
    "code.licence": "groundup.documents.code.licences:LicenceFilter",
    "code.notebook": "groundup.documents.code.notebook:Notebook",
    "code.quality": "groundup.documents.code.quality:CodeQuality",
    "code.syntax": "groundup.documents.code.syntax:SyntaxCheck",
    "conversations.boilerplate": "groundup.documents.conversations.boilerplate:Boilerplate",
    "conversations.mail": "groundup.documents.conversations.mail:MailStep",
    "conversations.quality": "groundup.documents.conversations.turns:ConversationQuality",
    "conversations.turns": "groundup.documents.conversations.turns:TurnOrder",
    "documents.read": "groundup.documents.readers.kinds:ReadMarkup",
    "web.lines": "groundup.documents.web.lines:LineFilter",
    "web.main_text": "groundup.documents.web.main_text:MainText",
    "web.urls": "groundup.documents.web.urls:UrlFilter",
}
"""Name, such as `web.lines`, to `module:Class`."""

REMOVED: dict[str, str] = {
    "articles.news": "use `web.main_text` for the story and `web.lines` for the lines around it.",
    "books.repeats": "use `quality.gopher_repetition`, which measures repeated lines and phrases.",
    "books.style": "it has no replacement; anthologies can be split into one file per author.",
    "code.data": "use `code.quality`, which limits line length and requires letters.",
    "code.minified": "use `code.quality`, which limits the mean and the longest line.",
    "code.vendored": "use `skip` in the source's settings for folders, `dedup.exact` for copies.",
    "conversations.languages": "use `language.identify`, which names the document's language.",
    "conversations.speakers": "use `safety.personal`, which finds personal data in the text.",
    "web.harmful": "use `quality.classifier`, trained on pages that you label.",
    "web.spam": "use `quality.classifier`, or `quality.gopher_repetition` for repeated phrases.",
}
"""Steps that earlier versions had: what to use instead."""
