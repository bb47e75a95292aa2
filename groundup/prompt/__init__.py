"""What is said to a model: prompts made of typed parts, so that foreign text stays data; tools."""

from .template import Datum, Part, Template
from .tools import CALL_END, CALL_START, append_result, call_to_text, introduce_tools

__all__ = [
    "CALL_END",
    "CALL_START",
    "Datum",
    "Part",
    "Template",
    "append_result",
    "call_to_text",
    "introduce_tools",
]
