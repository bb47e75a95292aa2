"""SPDX licence expressions: read, joined, and held against a list of licences that are allowed.

`MIT OR GPL-2.0-only` is allowed if one side is, `AND` if both are; an exception (`WITH`) only adds
permissions, so its licence decides. `CC-BY-*` on the list stands for its versions. Knows
nothing of where an expression was found.
"""

import re
from collections.abc import Collection, Iterable, Sequence

from groundup.core import ConfigError

TOKEN = re.compile(r"\(|\)|[A-Za-z0-9][\w.+-]*|[^\s]")
# Ids that SPDX has renamed.
RENAMED = {
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
"""What a star stands for: `-4.0`, `-3-clause`, `-2.0-or-later`, or nothing."""


def read_expression(text: str) -> str:
    """The expression at the start of a text, with today's ids; empty if there is none.

    >>> read_expression("(GPL-2.0+ OR mit) */"), read_expression("*/")
    ('GPL-2.0-or-later OR mit', '')
    """
    tokens = TOKEN.findall(text[:1_000])[:MAX_TOKENS]
    place = expression_end(tokens)
    if place == 0:
        return ""
    said = [RENAMED.get(token, token) for token in tokens[:place]]
    said = [token.upper() if token.upper() in ("AND", "OR", "WITH") else token for token in said]
    joined = " ".join(said).replace("( ", "(").replace(" )", ")")
    whole = joined.startswith("(") and joined.endswith(")") and joined.count("(") == 1
    return joined[1:-1] if whole else joined


def expression_end(tokens: list[str]) -> int:
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


def join_all(expressions: Iterable[str]) -> str:
    """All of these at once, each named once.

    >>> join_all(["MIT", "Apache-2.0 OR MIT", "MIT"])
    'MIT AND (Apache-2.0 OR MIT)'
    """
    found = list(dict.fromkeys(one for one in expressions if one))
    if len(found) < 2:
        return "".join(found)
    return " AND ".join(f"({one})" if " OR " in one else one for one in found)


def checked(names: Sequence[str]) -> None:
    """Raise ConfigError for a name on an allow list that no licence can have."""
    for name in names:
        if not NAME.fullmatch(name) or name.upper() in ("AND", "OR", "WITH"):
            raise ConfigError(
                f"allow has {name!r}, which matches no licence; expected an SPDX id such as MIT, "
                "or one with a star at its end for any version, such as CC-BY-*."
            )


def covers(name: str, licence: str) -> bool:
    """Whether a name on an allow list means a licence; a star is no NC or ND.

    >>> [covers("CC-BY-*", one) for one in ("CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY")]
    [True, False, True]
    """
    name, licence = name.lower(), licence.lower()
    if not name.endswith("*"):
        return name == licence
    stem = name[:-1].rstrip("-")
    return licence.startswith(stem) and VERSION.fullmatch(licence[len(stem) :]) is not None


def allowed(expression: str, names: Collection[str]) -> bool:
    """Whether a corpus that allows these ids may hold what the expression covers.

    >>> allowed("GPL-2.0-only OR (MIT AND BSD-3-Clause)", {"MIT", "BSD-3-Clause"})
    True
    """
    known = {name.lower() for name in names if not name.endswith("*")}
    stars = [name for name in names if name.endswith("*")]
    values: list[bool] = []
    waiting: list[str] = []

    def apply() -> None:
        operator, right = waiting.pop(), values.pop()
        left = values.pop()
        values.append(left and right if operator == "AND" else left or right)

    tokens = TOKEN.findall(expression)
    for before, token in zip(["", *tokens], tokens, strict=False):
        if token == "(":
            waiting.append(token)
        elif token == ")":
            while waiting and waiting[-1] != "(":
                apply()
            if waiting:
                waiting.pop()
        elif token in ("AND", "OR"):
            while waiting and waiting[-1] == "AND":
                apply()
            waiting.append(token)
        elif token != "WITH" and before != "WITH":
            said = token.lower() in known or any(covers(name, token) for name in stars)
            values.append(said)
    while waiting and len(values) > 1:
        apply()
    return bool(values) and values[0]
