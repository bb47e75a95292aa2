"""SPDX licence expressions: parsing, joining, and checking against an allow list.

`A OR B` is allowed if one side is, `A AND B` if both are; an exception (`WITH`) only adds
permissions, so its licence decides. `CC-BY-*` on the list matches its versions. Knows nothing of
where an expression was found.
"""

import re
from collections.abc import Collection, Iterable, Sequence

from groundup.core import ConfigError

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
MAX_TOKENS = 200
NAME = re.compile(r"[A-Za-z0-9](?:[\w.+-]*[\w.+])?(?:-?\*)?")
VERSION = re.compile(r"(?:-[\d.]+(?:-\w+)*)?")
"""What a star matches: `-4.0`, `-3-clause`, `-2.0-or-later`, or nothing."""


def read_expression(text: str) -> str:
    """The expression at the start of a text, with current ids; empty if there is none.

    >>> read_expression("(GPL-2.0+ OR mit) */"), read_expression("*/")
    ('GPL-2.0-or-later OR mit', '')
    """
    tokens = TOKEN.findall(text[:1_000])[:MAX_TOKENS]
    end = _expression_end(tokens)
    if end == 0:
        return ""
    ids = [RENAMED_IDS.get(token, token) for token in tokens[:end]]
    ids = [token.upper() if token.upper() in ("AND", "OR", "WITH") else token for token in ids]
    joined = " ".join(ids).replace("( ", "(").replace(" )", ")")
    is_wrapped = joined.startswith("(") and joined.endswith(")") and joined.count("(") == 1
    return joined[1:-1] if is_wrapped else joined


def _expression_end(tokens: list[str]) -> int:
    """Number of tokens of the longest expression at the start."""
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
                f"allow has {name!r}, which matches no licence; expected an SPDX id such as MIT, "
                "or one with a star at its end for any version, such as CC-BY-*."
            )


def _matches_licence(name: str, licence: str) -> bool:
    """Whether a name on an allow list matches a licence; a star does not match NC or ND.

    >>> [_matches_licence("CC-BY-*", id) for id in ("CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY")]
    [True, False, True]
    """
    name, licence = name.lower(), licence.lower()
    if not name.endswith("*"):
        return name == licence
    stem = name[:-1].rstrip("-")
    return licence.startswith(stem) and VERSION.fullmatch(licence[len(stem) :]) is not None


def is_licence_allowed(expression: str, names: Collection[str]) -> bool:
    """Whether an expression is satisfied by the allowed ids.

    >>> is_licence_allowed("GPL-2.0-only OR (MIT AND BSD-3-Clause)", {"MIT", "BSD-3-Clause"})
    True
    """
    exact = {name.lower() for name in names if not name.endswith("*")}
    stars = [name for name in names if name.endswith("*")]
    values: list[bool] = []
    operators: list[str] = []

    def apply() -> None:
        operator, right = operators.pop(), values.pop()
        left = values.pop()
        values.append(left and right if operator == "AND" else left or right)

    tokens = TOKEN.findall(expression)
    for before, token in zip(["", *tokens], tokens, strict=False):
        if token == "(":
            operators.append(token)
        elif token == ")":
            while operators and operators[-1] != "(":
                apply()
            if operators:
                operators.pop()
        elif token in ("AND", "OR"):
            while operators and operators[-1] == "AND":
                apply()
            operators.append(token)
        elif token != "WITH" and before != "WITH":
            is_star = any(_matches_licence(name, token) for name in stars)
            values.append(is_star or token.lower() in exact)
    while operators and len(values) > 1:
        apply()
    return bool(values) and values[0]
