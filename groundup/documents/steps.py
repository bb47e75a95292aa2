"""The one table of readers, steps and derivers, by their names in pipelines.

Each is a class whose only argument is its configuration, here or in the room `corpus`. Its module
is imported when a pipeline names it, so that unused ones cost no time and no installation. A name
with a colon is `module:Class` of any package.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from groundup.core import ConfigError, check_choice

READERS: dict[str, str] = {
    "archive": "groundup.documents.readers.archives:Archive",
    "conversations": "groundup.documents.readers.conversations:Conversations",
    "epub": "groundup.documents.readers.books:Epub",
    "folder": "groundup.documents.readers.files:Folder",
    "git": "groundup.documents.readers.git:Git",
    "jsonl": "groundup.documents.readers.jsonl:JsonLines",
    "mail": "groundup.documents.readers.mail:Mail",
    "parquet": "groundup.documents.readers.parquet:Parquet",
    "pdf": "groundup.documents.readers.books:Pdf",
    "warc": "groundup.documents.readers.warc:Warc",
}
"""Name to `module:Class`."""

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
    "books.rights": "groundup.documents.licences.rights:Rights",
    "code.comments": "groundup.documents.code.quality:CommentFilter",
    "code.folder_licences": "groundup.corpus.prepare.folder_licences:FolderLicences",
    "code.generated": "groundup.documents.code.quality:GeneratedFilter",
    "code.language": "groundup.documents.code.language:CodeLanguage",
    "code.licence": "groundup.documents.licences.texts:LicenceFilter",
    "code.notebook": "groundup.documents.code.notebook:Notebook",
    "code.quality": "groundup.documents.code.quality:CodeQuality",
    "code.syntax": "groundup.documents.code.syntax:SyntaxCheck",
    "conversations.boilerplate": "groundup.documents.conversations.turns:Boilerplate",
    "conversations.join": "groundup.corpus.threads:JoinThreads",
    "conversations.mail": "groundup.documents.conversations.mail:MailStep",
    "conversations.quality": "groundup.documents.conversations.turns:ConversationQuality",
    "conversations.threads": "groundup.corpus.threads:ThreadPositions",
    "conversations.turns": "groundup.documents.conversations.turns:TurnOrder",
    "decontaminate.testsets": "groundup.corpus.decontaminate.testsets:TestSets",
    "dedup.earlier": "groundup.corpus.dedup.earlier:EarlierCorpus",
    "dedup.exact": "groundup.corpus.dedup.exact:ExactDedup",
    "dedup.minhash": "groundup.corpus.dedup.minhash:MinHashDedup",
    "dedup.substrings": "groundup.corpus.dedup.substrings:Substrings",
    "documents.read": "groundup.documents.readers.files:ReadMarkup",
    "language.identify": "groundup.corpus.language:IdentifyLanguage",
    "language.paragraphs": "groundup.corpus.language:LanguageParagraphs",
    "quality.c4": "groundup.corpus.quality.rules:C4",
    "quality.classifier": "groundup.corpus.quality.classifier:ClassifierStep",
    "quality.fineweb": "groundup.corpus.quality.rules:FineWeb",
    "quality.gopher": "groundup.corpus.quality.rules:Gopher",
    "quality.gopher_repetition": "groundup.corpus.quality.rules:GopherRepetition",
    "quality.scorer": "groundup.corpus.quality.classifier:ScorerStep",
    "safety.personal": "groundup.corpus.safety.personal:ReplacePersonal",
    "safety.secrets": "groundup.corpus.safety.secrets:ReplaceSecrets",
    "safety.toxicity": "groundup.corpus.safety.toxicity:ToxicityStep",
    "web.lines": "groundup.documents.web.lines:LineFilter",
    "web.main_text": "groundup.documents.web.main_text:MainText",
    "web.site_lines": "groundup.corpus.quality.sites:SiteLines",
    "web.urls": "groundup.documents.web.urls:UrlFilter",
}
"""Steps and global steps."""

DERIVERS: dict[str, str] = {"augment.fim": "groundup.corpus.mixture:FillInTheMiddle"}
"""What makes further training records: see corpus/mixture.py."""

REMOVED: dict[str, str] = {
    "articles.news": "use `web.main_text` for the story and `web.lines` for the lines around it.",
    "augment.comments": "use `augment.fim`, or a derivation of your own as `module:Class`.",
    "augment.noise": "use `augment.fim`, or a derivation of your own as `module:Class`.",
    "books.repeats": "use `quality.gopher_repetition`, which measures repeated lines and phrases.",
    "books.style": "it has no replacement; anthologies can be split into one file per author.",
    "code.data": "use `code.quality`, which limits line length and requires letters.",
    "code.minified": "use `code.quality`, which limits the mean and the longest line.",
    "code.repositories": "use `dedup.exact` for equal files and `dedup.minhash` for similar ones.",
    "code.vendored": "use `skip` in the source's settings for folders, `dedup.exact` for copies.",
    "conversations.languages": "use `language.identify`, which names the document's language.",
    "conversations.speakers": "use `safety.personal`, which finds personal data in the text.",
    "dedup.sentences": "use `dedup.substrings` (`fold = true` ignores case).",
    "quality.perplexity": "use `quality.scorer` with your own model's likelihood as the scorer.",
    "web.harmful": "use `quality.classifier`, trained on pages that you label.",
    "web.spam": "use `quality.classifier`, or `quality.gopher_repetition` for repeated phrases.",
}
"""Steps that earlier versions had: what to use instead."""


def step_target(name: str) -> str:
    """`module:Class` of a step or deriver.

    Raises ConfigError that suggests the nearest name, or the replacement of a removed step.
    """
    if name in REMOVED:
        raise ConfigError(f"use={name!r} was removed; {REMOVED[name]}")
    return _look_up("use", name, STEPS | DERIVERS)


def reader_target(name: str) -> str:
    """`module:Class` of a reader; ConfigError suggests the nearest name."""
    return _look_up("reader", name, READERS)


def _look_up(what: str, name: str, table: Mapping[str, str]) -> str:
    return name if ":" in name else table[check_choice(what, name, sorted(table))]


def import_object(target: str) -> Any:
    """Import the object at `module:name`."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
