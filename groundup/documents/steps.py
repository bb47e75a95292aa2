"""The steps of this room, by their names in pipelines, and how they read their pattern files.

A step is a class whose only argument is its configuration. Its module is imported when a pipeline
names it, so that unused steps cost no time and no installation. A pattern file is TOML: lists of
words and regular expressions that are data. In a string, `{NAME}` is replaced by the string NAME of
the file's table `fragments`; names are capitals, so repetitions such as `{1,40}` are not affected.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STEPS: dict[str, str] = {
    "articles.latex": "groundup.documents.articles.latex:LatexStep",
    "articles.manual": "groundup.documents.articles.manual:Manual",
    "articles.parts": "groundup.documents.articles.parts:ArticleParts",
    "articles.xml": "groundup.documents.articles.xml:ArticleXml",
    "books.chapters": "groundup.documents.books.chapters:Chapters",
    "books.footnotes": "groundup.documents.books.footnotes:Footnotes",
    "books.heads": "groundup.documents.books.heads:Heads",
    "books.hyphens": "groundup.documents.books.hyphens:Hyphens",
    "books.ocr": "groundup.documents.books.ocr:Ocr",
    "books.paragraphs": "groundup.documents.books.paragraphs:ParagraphJoiner",
    "books.publisher": "groundup.documents.books.publisher:FrontMatter",
    "books.rights": "groundup.documents.books.rights:Rights",
    "code.comments": "groundup.documents.code.comments:CommentFilter",
    "code.generated": "groundup.documents.code.generated:GeneratedFilter",
    "code.language": "groundup.documents.code.language:CodeLanguage",
    "code.licence": "groundup.documents.code.licences:LicenceFilter",
    "code.notebook": "groundup.documents.code.notebook:Notebook",
    "code.quality": "groundup.documents.code.quality:CodeQuality",
    "code.syntax": "groundup.documents.code.syntax:SyntaxCheck",
    "conversations.boilerplate": "groundup.documents.conversations.boilerplate:Boilerplate",
    "conversations.mail": "groundup.documents.conversations.mail:MailStep",
    "conversations.quality": "groundup.documents.conversations.quality:ConversationQuality",
    "conversations.turns": "groundup.documents.conversations.turns:TurnOrder",
    "documents.read": "groundup.documents.readers.files:ReadMarkup",
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

_FRAGMENT = re.compile(r"\{([A-Z][A-Z_]+)\}")


def read_patterns(path: Path) -> dict[str, Any]:
    """The tables of a pattern file, its fragments replaced."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return expand(tables, tables.get("fragments", {}))


def expand(value: Any, fragments: Mapping[str, str]) -> Any:
    """Replace the fragments in all strings of a value; a fragment without a definition stays.

    >>> expand({"lines": ["{NICK} left"]}, {"NICK": "[a-z]{1,9}"})
    {'lines': ['[a-z]{1,9} left']}
    """
    if isinstance(value, str):
        return _FRAGMENT.sub(lambda found: fragments.get(found[1], found[0]), value)
    if isinstance(value, list):
        return [expand(item, fragments) for item in value]
    if isinstance(value, dict):
        return {key: expand(item, fragments) for key, item in value.items()}
    return value
