"""Code: the language, licence, quality and soundness of source files.

Each file is one idea: language, lexing, generated code, comments, licences and their expressions,
syntax, notebook, quality. The steps are listed in ../steps.py.
"""

from .expressions import is_licence_allowed, join_expressions, read_expression
from .language import detect_code_language
from .lexing import comments_and_strings
from .licences import PERMISSIVE, licence_of

__all__ = [
    "PERMISSIVE",
    "comments_and_strings",
    "detect_code_language",
    "is_licence_allowed",
    "join_expressions",
    "licence_of",
    "read_expression",
]
