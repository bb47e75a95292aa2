"""How questions are put: several ways each, some of them kept for the test.

A phrasing never tells which kind of answer is due: names that exist and names that do not are asked
in the same words, drawn from the same list.
"""

import random
from collections.abc import Mapping
from types import MappingProxyType

NO_PARTS: Mapping[str, str] = MappingProxyType({})

NAME = (
    "What does `{name}` do?",
    "What does {name} do?",
    "What is `{name}`?",
    "What is {name} for?",
    "Explain `{name}`.",
    "Explain {name} to me.",
    "Tell me what `{name}` does.",
    "Describe {name} in a sentence.",
    "What is `{name}` used for?",
    "Do you know what {name} does?",
)
NAME_HELD_OUT = (
    "Can you explain what `{name}` does?",
    "I found {name} in some code. What does it do?",
    "Please describe `{name}`.",
)
NAME_NEXT = ("And `{name}`?", "And {name}?", "What about `{name}`?", "Then what does {name} do?")

EXPLAIN = (
    "What does this {thing} do?",
    "Explain this {thing} in a sentence.",
    "Tell me what this {thing} is for.",
    "Summarise this {thing}.",
)
DOCSTRING = (
    "Write a docstring for this {thing}.",
    "Write the docstring of this {thing}.",
    "Document this {thing}.",
)
DOCSTRING_NEXT = ("Now write its docstring.", "Write a full docstring for it.")
WRITE = (
    "Write a {thing} `{identifier}`: {docstring}",
    "Write the {thing} `{identifier}` with this docstring: {docstring}",
    "Implement `{identifier}`. {docstring}",
)
WRITE_NEXT = ("What does it do?", "Explain it in a sentence.")
TOPIC = (
    "Tell me about {title}.",
    "What do the documents say about {title}?",
    "Explain {title}.",
    "Give me an introduction to {title}.",
)
TOPIC_NEXT = ("Go on.", "Tell me more.")


def fill_phrasing(
    phrases: tuple[str, ...], rng: random.Random, parts: Mapping[str, str] = NO_PARTS
) -> str:
    """Draw a phrasing and fill in its parts.

    >>> fill_phrasing(("What is {name}?",), random.Random(0), {"name": "json"})
    'What is json?'
    """
    return rng.choice(phrases).format_map(parts)


def fence_code(code: str) -> str:
    """Fence code for a message."""
    return f"```python\n{code}\n```"
