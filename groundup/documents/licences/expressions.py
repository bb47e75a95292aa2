"""SPDX licence expressions: parsing, joining, and checking against an allow list.

`A OR B` is allowed if one side is, `A AND B` if both are; an exception (`WITH`) only adds
permissions, so its licence decides. `CC-BY-*` on the list matches its versions. Whole expressions
are parsed by license-expression; the one at the start of a comment is delimited here.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

from groundup.core import ConfigError, MissingExtra

TOKEN = re.compile(r"\(|\)|[A-Za-z0-9][\w.+-]*|[^\s]")
# Ids that SPDX has renamed: old -> new.
RENAMED_IDS = {
    f"{family}-{version}{old}": f"{family}-{version}{new}"
    for family, versions in {
        "GPL": "1.0 2.0 3.0", "LGPL": "2.0 2.1 3.0", "AGPL": "1.0 3.0", "GFDL": "1.1 1.2 1.3",
    }.items()
    for version in versions.split()
    for old, new in (("", "-only"), ("+", "-or-later"))
}  # fmt: skip
MAX_CHARACTERS, MAX_TOKENS = 1_000, 200
NAME = re.compile(r"[A-Za-z0-9](?:[\w.+-]*[\w.+])?(?:-?\*)?")
VERSION = re.compile(r"(?:-[\d.]+(?:-\w+)*)?")
"""What a star matches: `-4.0`, `-3-clause`, `-2.0-or-later`, or nothing."""


def read_expression(text: str) -> str:
    """The expression at the start of a text, with current ids; empty if there is none.

    >>> read_expression("(GPL-2.0+ OR mit) */"), read_expression("*/")
    ('GPL-2.0-or-later OR mit', '')
    """
    tokens = TOKEN.findall(text[:MAX_CHARACTERS])[:MAX_TOKENS]
    end = _expression_end(tokens)
    if end == 0:
        return ""
    ids = [RENAMED_IDS.get(token, token) for token in tokens[:end]]
    ids = [token.upper() if token.upper() in ("AND", "OR", "WITH") else token for token in ids]
    joined = " ".join(ids).replace("( ", "(").replace(" )", ")")
    is_wrapped = joined.startswith("(") and joined.endswith(")") and joined.count("(") == 1
    return joined[1:-1] if is_wrapped else joined


def _expression_end(tokens: list[str]) -> int:
    depth, end, wants_id = 0, 0, True
    for at, token in enumerate(tokens):
        word = token.upper()
        if wants_id and token == "(":
            depth += 1
        elif wants_id and token[0].isalnum() and word not in ("AND", "OR", "WITH"):
            wants_id = False
            end = at + 1 if depth == 0 else end
        elif not wants_id and token == ")" and depth:
            depth -= 1
            end = at + 1 if depth == 0 else end
        elif not wants_id and word in ("AND", "OR", "WITH"):
            wants_id = True
        else:
            break
    return end


def join_expressions(expressions: Iterable[str]) -> str:
    """Join expressions by AND, without repetitions.

    >>> join_expressions(["MIT", "Apache-2.0 OR MIT", "MIT"])
    'MIT AND (Apache-2.0 OR MIT)'
    """
    unique = list(dict.fromkeys(filter(None, expressions)))
    if len(unique) < 2:
        return "".join(unique)
    return " AND ".join(f"({each})" if " OR " in each else each for each in unique)


def check_allow_list(names: Sequence[str]) -> None:
    """Raise ConfigError for a name on an allow list that matches no licence."""
    for name in names:
        if not NAME.fullmatch(name) or name.upper() in ("AND", "OR", "WITH"):
            raise ConfigError(
                f"allow has {name!r}, which matches no licence; expected an SPDX id such as MIT "
                "or CC-BY-* for any version."
            )


def is_licence_allowed(expression: str, names: Collection[str]) -> bool:
    """Whether an expression is satisfied by the allowed ids; one that is not SPDX never is.

    Raises MissingExtra without the library license-expression.

    >>> is_licence_allowed("GPL-2.0-only OR (MIT AND BSD-3-Clause)", {"MIT", "BSD-3-Clause"})
    True
    >>> [is_licence_allowed(id, ["CC-BY-*"]) for id in ("CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY")]
    [True, False, True]
    """
    return _is_allowed(expression, tuple(names))


@lru_cache(maxsize=10_000)
def _is_allowed(expression: str, names: tuple[str, ...]) -> bool:
    try:
        from license_expression import ExpressionError, Licensing, ParseError
    except ImportError:
        raise MissingExtra("license-expression", "corpus") from None
    licensing = Licensing()
    try:
        tree = licensing.parse(expression[:20_000])
    except (ExpressionError, ParseError, RecursionError):
        return False

    def is_satisfied(node: Any) -> bool:
        if isinstance(node, licensing.AND | licensing.OR):
            combine = all if isinstance(node, licensing.AND) else any
            return combine(map(is_satisfied, node.args))
        licence = getattr(node, "license_symbol", node).key.lower()  # without WITH's exception
        return any(_matches_licence(name.lower(), licence) for name in names)

    return tree is not None and is_satisfied(tree)


def _matches_licence(name: str, licence: str) -> bool:
    """Whether a name on an allow list matches a licence; a star does not match NC or ND."""
    if not name.endswith("*"):
        return name == licence
    stem = name[:-1].rstrip("-")
    return licence.startswith(stem) and VERSION.fullmatch(licence[len(stem) :]) is not None
