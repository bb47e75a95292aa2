"""What other programs say of source files, for code_filters.py: a JSON list each way.

Run by a newer Python that has pyflakes and pygments; standard input holds [[name, text], ...]. For
`python` it answers whether this Python compiles the text and which names pyflakes finds undefined;
for `comments` the share of comments that pygments' lexer for the name sees, or null.
"""

import ast
import json
import sys
import warnings
from typing import Any


def python(text: str) -> list[Any]:
    """Whether the text compiles, and the names that nothing defines."""
    from pyflakes import checker, messages

    try:
        tree = ast.parse(text)
        compile(text, "file", "exec")
    except (SyntaxError, ValueError):
        return [False, []]
    found = checker.Checker(tree, "file.py").messages
    stars = any(isinstance(one, messages.ImportStarUsed) for one in found)
    names = {one.message_args[0] for one in found if isinstance(one, messages.UndefinedName)}
    return [True, None if stars else sorted(names)]


def comments(name: str, text: str) -> float | None:
    """Share of the characters, white space apart, that stand in comments or docstrings."""
    from pygments.lexers import get_lexer_for_filename
    from pygments.token import Comment, String
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_for_filename(name, text)
    except ClassNotFound:
        return None
    size = inside = 0
    for kind, said in lexer.get_tokens(text):
        filled = len("".join(said.split()))
        size += filled
        is_comment = kind in Comment and kind not in Comment.Preproc
        inside += filled * (is_comment or kind in String.Doc)
    return inside / max(1, size)


def main() -> None:
    """Answer."""
    warnings.simplefilter("ignore")
    files = json.load(sys.stdin)
    if sys.argv[1] == "python":
        answers: list[Any] = [python(text) for _, text in files]
    else:
        answers = [comments(name, text) for name, text in files]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
