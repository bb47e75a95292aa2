"""Sections of source files: their definitions, found by Python's parser or by tree-sitter's.

So are those of what `python -m pydoc` prints, where each entry follows an empty line.
Grammars of tree-sitter parse broken source too, and a query (definitions.toml) finds functions,
methods and classes in the tree.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import MissingExtra, import_extra

from ..document import Record
from ..patterns import read_patterns
from ..structure.outline import Definition, iter_lines, module_name, parse_python
from .language import detect_code_language

MAX_CHARACTERS, MAX_UNCLOSED, MAX_CHAIN = 300_000, 1000, 300
SIGNS = re.compile(r"(?<!\W)\W{4000}")
UNBROKEN = re.compile(r"""(?<![^;(){}"'`/#])[^;(){}"'`/#]{600,}""")
LINE_END = re.compile(r"[ \t;,)]*(?://[^\n]*|/\*[^\n]*\*/[ \t]*)?(?:\r?\n|\Z)")
"""What ends the line of a definition and still belongs to it."""
PYDOC = re.compile(r"(?:[^\n]+\n\s*\n)?NAME\r?\n {4}(?P<module>[\w.]+)(?= - |\s)")
PYDOC_ENTRIES = re.compile(r"^(?:CLASSES|FUNCTIONS)\r?$", re.MULTILINE)
PYDOC_ENTRY = re.compile(
    r"""^(?:(?:[\ |]*|CLASSES|FUNCTIONS)\r?\n
        (?P<line>(?:\ {4}|\ {5}\|\ \ )(?:class\ |async\ )?(?P<name>\w+)\()|\S|\ {5}\|\ \ --)""",
    re.MULTILINE | re.VERBOSE,
)
"""An entry, or a line at the margin or of dashes in a class, which ends the one before."""
_GRAMMARS = read_patterns(Path(__file__).with_name("definitions.toml"))


class _Definition(NamedTuple):
    start: int
    end: int
    names: tuple[str, ...]
    is_outer: bool = True  # definitions in it are sections of their own


def code_sections(document: Record) -> list[tuple[int, int, tuple[str, ...]]]:
    """Sections of a source file, one per definition: start, end, and the names around it.

    The comment directly above belongs to a definition. Of Python each has two sections: its head
    with the docstring, then its body. Names begin with that of the module or file. Empty for Python
    that is not valid for this interpreter, and without a grammar.
    """
    path, text, is_python = document.path, document.text, document.kind == "python"
    name = module_name(path) if is_python else path.rpartition("/")[2]
    find = {"python": _python_definitions, "code": _find_definitions}.get(document.kind)
    if document.kind == "text" and (page := PYDOC.match(text)):
        name, find = page["module"], _pydoc_definitions
    if find is None or (definitions := find(path, text)) is None:
        return []
    sections, at = list[tuple[int, int, tuple[str, ...]]](), 0
    around = [_Definition(0, len(text), (name,))]
    for each in (*definitions, around[0]._replace(start=len(text))):
        cuts = list[tuple[int, tuple[str, ...]]]()
        while around and around[-1].end <= each.start:
            cuts.append((around[-1].end, around.pop().names))
        if around and around[-1].is_outer:
            start = max(at, *(end for end, _ in cuts), text.rfind("\n", at, each.start) + 1)
            cuts.append((start, around[-1].names))
            end, names = min(each.end, around[-1].end), around[-1].names + each.names
            around.append(each._replace(end=end, names=names))
        for end, names in cuts:
            if at < end and sections and not is_python and not re.search(r"\w", text[at:end]):
                sections[-1] = (
                    sections[-1][0],
                    end,
                    sections[-1][2],
                )  # whose last brackets these are
            elif at < end:
                sections.append((at, end, names))
            at = end
    return sections


def _python_definitions(path: str, text: str) -> list[_Definition] | None:
    module, starts = parse_python(text), [start for start, _ in iter_lines(text)]

    def walk(node: ast.Module | Definition, begin: int) -> Iterator[_Definition]:
        if ast.get_docstring(node, clean=False) is not None:
            yield _Definition(begin, starts[node.body[0].end_lineno or 0], ())
        for each in node.body:
            if isinstance(each, Definition):
                first = min([each.lineno, *(item.lineno for item in each.decorator_list)])
                start, end = starts[first - 1], starts[each.end_lineno or first]
                yield _Definition(start, end, (each.name,))
                yield from walk(each, start)

    return list(walk(module, 0)) if module else None


def _pydoc_definitions(path: str, text: str) -> list[_Definition] | None:
    """The classes, their methods and the functions of a module's page."""
    first = PYDOC_ENTRIES.search(text)
    found, end, outer_end = list[_Definition](), len(text), len(text)
    for entry in reversed(list(PYDOC_ENTRY.finditer(text, first.start())) if first else []):
        is_method = "|" in (entry["line"] or entry[0])
        if entry["name"]:
            stop = end if is_method else outer_end
            found.append(_Definition(entry.start("line"), stop, (entry["name"],)))
        end = entry.start()
        outer_end = outer_end if is_method else end
    return found[::-1]


def _find_definitions(path: str, text: str) -> list[_Definition] | None:
    """The definitions in order, outer ones first; of those with one name node only the first."""
    ending = path.rpartition(".")[2].lower()
    language = ending if ending in _GRAMMARS else detect_code_language(path, text).name
    matches, comments, named = (
        _query_tree(language, text),
        dict[int, Any](),
        dict[int, _Definition](),
    )
    for captured in matches or ():  # a comment comes before what it is above
        for node in captured.get("above", []):
            if not text[node.start_byte - node.start_point.column : node.start_byte].strip():
                comments[node.end_point.row - (node.end_point.column == 0)] = node
        for node in captured.get("outer", []) + captured.get("whole", []):
            words = (text[each.start_byte : each.end_byte].split() for each in captured["name"])
            line_end, first = LINE_END.match(text, node.end_byte), node
            while (row := first.start_point.row - 1) in comments:
                first = comments[row]
            end, names = line_end.end() if line_end else node.end_byte, tuple(map(" ".join, words))
            found = _Definition(first.start_byte, end, names, "outer" in captured)
            other = named.get(key := captured["name"][-1].start_byte, found)
            named[key] = min(other, found, key=lambda each: (each.start, each.names))
    found = sorted(named.values(), key=lambda each: (each.start, -each.end))
    return None if matches is None else found


def _is_hostile(text: str) -> bool:
    """Whether tree-sitter may take minutes and gigabytes for it, as for `a=>a=>…`, or crash."""
    unclosed = sum(map(text.count, "([{")) - sum(map(text.count, ")]}"))
    chains = (len(re.findall("[=<>?]+", each)) for each in UNBROKEN.findall(text))
    sizes = len(text) > MAX_CHARACTERS, unclosed > MAX_UNCLOSED, max(chains, default=0) > MAX_CHAIN
    return any(sizes) or bool(SIGNS.search(text))


def _query_tree(language: str, text: str) -> list[dict[str, list[Any]]] | None:
    """The nodes of each match, by capture; None without a grammar, and if its parser gives up."""
    try:
        parser, cursor = _open_grammar(language)
        if _is_hostile(text):
            return None
        # One byte for each character, so that offsets are those of characters.
        source = re.sub(r"[^\0-\x7f]", "x", text).encode()
        calls, most = count(), 1000 + len(source) // 10
        parser.reset()  # it may have given up the last file
        # It calls every hundred steps: once for 100 characters, or for 16 of broken source.
        tree = parser.parse(
            lambda at, _: source[at:], progress_callback=lambda at, _: next(calls) > most
        )
    except (KeyError, MissingExtra, ValueError):
        return None
    return [captured for _, captured in cursor.matches(tree.root_node)]


@cache
def _open_grammar(language: str) -> tuple[Any, Any]:
    """A language's parser and its query; KeyError for another language."""
    module, function = _GRAMMARS[language]["grammar"]
    engine = import_extra("tree_sitter", "retrieve")
    grammar = engine.Language(getattr(import_extra(module, "retrieve"), function)())
    query = engine.Query(grammar, _GRAMMARS[language]["query"])
    return engine.Parser(grammar), engine.QueryCursor(query)
