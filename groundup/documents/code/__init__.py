"""Code: the language, licence, quality and soundness of source files.

Each file is one idea: language, lexing, generated code, comments, licences and their expressions,
syntax, notebook, quality. The steps are listed in ../steps.py.
"""

from .expressions import allowed, join_all, read_expression
from .language import language_of
from .lexing import pieces
from .licences import PERMISSIVE, licence_of

__all__ = [
    "PERMISSIVE",
    "allowed",
    "join_all",
    "language_of",
    "licence_of",
    "pieces",
    "read_expression",
]
