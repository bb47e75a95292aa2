"""The text that comes with every Python: the standard library's sources and the language topics.

About ten megabytes of freely licensed code and prose that need no download. Excluded: tests,
installed packages, generated tables and copies of other projects.
"""

import ast
import pydoc_data.topics
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from groundup.core import Artifact, Config, Draft, digest, produce, write_text
from groundup.corpus import CorpusConfig, write_corpus
from groundup.documents import Record, Rejected, read_bytes

EXCLUDED_NAMES = frozenset(
    "__pycache__ dist-packages encodings ensurepip idle_test lib2to3 pydoc_data site-packages "
    "test tests turtledemo".split()
)


def _read_library() -> Iterator[Record | Rejected]:
    """Yield the library's modules as `lib/…` and the topics as `topics/NAME.txt`, in order."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if not EXCLUDED_NAMES & set(name.parts):
            yield read_bytes(path.read_bytes(), f"lib/{name.as_posix()}")
    for name, text in sorted(pydoc_data.topics.topics.items()):
        yield read_bytes(text.encode("utf-8"), f"topics/{name}.txt")


def library_corpus(config: CorpusConfig, out: Path) -> Artifact:
    """The library as a corpus; its id depends on every document."""
    documents = list(_read_library())
    content = [[d.path, d.sha256] for d in documents if isinstance(d, Record)]
    config = config.model_copy(update={"source_digest": digest(content)})
    return produce(
        out,
        kind="corpus",
        stage="library",
        version=2,
        config=config,
        parents={},
        write=lambda draft: write_corpus(draft, documents, config),
    )


class LibraryManualConfig(Config):
    """Identity of the manual's text."""

    python: str = f"{sys.version_info.major}.{sys.version_info.minor}"
    """Python version of the text."""
    source_digest: str = ""
    """Hash of the text; filled in by the stage."""


def library_manual(config: LibraryManualConfig, out: Path) -> Artifact:
    """The topics and docstrings as a folder of text files, to be indexed and quoted."""
    pages = dict(manual_pages())
    config = config.model_copy(update={"source_digest": digest(sorted(pages.items()))})

    def write(draft: Draft) -> None:
        for name, text in pages.items():
            write_text(draft.file(name), text)
        size = sum(len(text.encode("utf-8")) for text in pages.values())
        draft.numbers |= {"files": len(pages), "bytes": size}

    return produce(
        out, kind="documents", stage="manual", version=1, config=config, parents={}, write=write
    )


def manual_pages() -> Iterator[tuple[str, str]]:
    """Yield (file name, text): each topic, and each module's public docstrings."""
    for document in _read_library():
        if isinstance(document, Rejected):
            continue
        if document.path.startswith("topics/"):
            yield document.path, document.text
        elif text := _collect_docstrings(document):
            yield document.path.replace("lib/", "docstrings/", 1).removesuffix(".py") + ".txt", text


def _collect_docstrings(document: Record) -> str:
    try:
        tree = ast.parse(document.text)
    except (SyntaxError, ValueError, RecursionError):
        return ""
    module = document.path.removeprefix("lib/").removesuffix(".py").replace("/", ".")
    module = module.removesuffix(".__init__")
    parts = [f"{module}\n\n{text}" for text in [ast.get_docstring(tree)] if text]

    def walk(node: ast.Module | ast.ClassDef, prefix: str) -> None:
        for child in node.body:
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            name = f"{prefix}.{child.name}"
            text = ast.get_docstring(child)
            if text and not child.name.startswith("_"):
                parts.append(f"{name}\n\n{text}")
            if isinstance(child, ast.ClassDef):
                walk(child, name)

    walk(tree, module)
    return "\n\n\n".join(parts) + "\n" if parts else ""
