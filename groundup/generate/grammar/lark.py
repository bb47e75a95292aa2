"""From a constraint to a compiled grammar: its text in Lark's syntax, which llguidance reads.

No torch here, so that a process which only compiles starts in a moment: see checking.py.
"""

import json
import re
from contextlib import suppress

import llguidance

from groundup.core import ConfigError, Sampling

from .schema import Schema, prepare_schema

WHITESPACE = r" |\n[ \t]{0,32}"
"""White space in JSON, once between two of its tokens: without a bound, a weak model never ends."""
JSON_OPTIONS = {"whitespace_pattern": WHITESPACE, "lenient": False, "coerce_one_of": False}
NO_FORCING = '\n%llguidance {"no_forcing": true}\n'
LIMITS = llguidance.LLParserLimits(max_lexer_states=20_000)
"""A state has one to two kilobytes; those of ordinary grammars are hundreds."""
EMBEDDED = re.compile(r'^\w+ *:(?: *"(?:[^"\\]|\\.)*")? *%json (?={)', re.MULTILINE)
"""A rule of a grammar up to its JSON schema."""


class LibraryVocabulary(llguidance.TokenizerWrapper):
    """The attributes that llguidance asks a tokenizer for."""

    is_tokenizer_wrapper = True

    def __init__(
        self, tokens: list[bytes], special_token_ids: list[int], end_ids: list[int]
    ) -> None:
        """Take the bytes of every token, a special one's name after a byte 255."""
        self.tokens, self.special_token_ids = tokens, special_token_ids
        self.bos_token_id, self.eos_token_id, self.end_ids = None, end_ids[0], end_ids

    def __call__(self, text: str | bytes) -> list[int]:
        """Texts are forced by nothing here, so none is encoded."""
        return []


def read_tokens(vocabulary: LibraryVocabulary) -> llguidance.LLTokenizer:
    """The vocabulary as llguidance compiles for."""
    return llguidance.LLTokenizer(vocabulary, eos_token=vocabulary.end_ids)


def compile_lark(sampling: Sampling, tokenizer: llguidance.LLTokenizer) -> llguidance.LLMatcher:
    """Compile the constraint of the settings.

    Raises ConfigError for what cannot be compiled.
    """
    text = _lark_grammar(sampling) + NO_FORCING
    matcher = llguidance.LLMatcher(tokenizer, text, log_level=0, limits=LIMITS)
    if matcher.is_error():
        raise _compile_error(sampling.constraint, matcher.get_error())
    return matcher


def _lark_grammar(sampling: Sampling) -> str:
    if sampling.json_schema:
        schema = json.loads(sampling.json_schema)
        return f"start: %json {_json_rule({'not': {}} if schema is False else schema or {})}"
    if sampling.regex:
        if re.search(r"(?<!\\)(\\\\)*\\\Z", sampling.regex):
            raise ConfigError("Sampling.regex ends with a backslash; write two for one.")
        return f"start: /{llguidance.regex_to_lark(sampling.regex, 'dws')}/"
    if sampling.choices is not None:
        return f"start: /{'|'.join(map(_escape_regex, sampling.choices))}/"
    return _with_prepared_schemas(sampling.grammar)


def _json_rule(schema: Schema) -> str:
    return json.dumps(prepare_schema(schema) | {"x-guidance": JSON_OPTIONS})


def _with_prepared_schemas(grammar: str) -> str:
    """A grammar whose rules of JSON schemas leave no restriction out either."""
    parts, at = list[str](), 0
    for found in EMBEDDED.finditer(grammar):
        with suppress(ValueError):  # llguidance says what is wrong with it
            schema, end = json.JSONDecoder().raw_decode(grammar, found.end())
            parts += (grammar[at : found.end()], _json_rule(schema))
            at = end
    return "".join([*parts, grammar[at:]])


def _escape_regex(text: str) -> str:
    r"""A text as an expression that matches it alone; Lark's literals do not hold every character.

    >>> print(_escape_regex("a/b"))
    a\x{2f}b
    """
    return re.sub(r"[^a-zA-Z0-9 ]", lambda found: f"\\x{{{ord(found[0]):x}}}", text)


def _compile_error(name: str, message: str) -> ConfigError:
    """An error of llguidance on one line, without its copy of our grammar around the user's."""
    message = re.sub(r"\n +\d+ \| [\s\S]*", "", message.strip())
    if name != "grammar":
        message = re.sub(r"^at \d+\(\d+\): ", "", message)
    return ConfigError(f"Sampling.{name} cannot be compiled: {' '.join(message.split())[:300]}")
