"""Evaluating a task file's fields on a row: columns, literals, jinja templates and functions.

Templates run in the sandbox of chat templates, with its limits of time and size. As in lm-eval, an
undefined name is an error, a template's last line break is kept, and there is a filter
`regex_replace(pattern, replacement, count)`.
"""

import ast
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import regex

from groundup.core import ConfigError, DataError

from .code import TaskCode, call_code

REGEX_SECONDS = 2.0
"""Time limit of one `regex_replace`, against catastrophic backtracking."""


@cache
def _jinja_environment() -> Any:
    """Sandboxed jinja with lm-eval's options."""
    from jinja2 import StrictUndefined

    from groundup.tokenizer import TemplateSandbox

    sandbox = TemplateSandbox((), "task template")
    sandbox.undefined, sandbox.keep_trailing_newline = StrictUndefined, True
    sandbox.trim_blocks = sandbox.lstrip_blocks = False
    sandbox.filters["regex_replace"] = sandbox.wrap_filter("regex_replace", regex_replace)
    return sandbox


def regex_replace(text: str, pattern: str, replacement: str, count: int = 0) -> str:
    r"""The template filter: re.sub.

    >>> regex_replace("Cook [title] well", r"\[.*?\]", "")
    'Cook  well'
    """
    try:
        return regex.sub(pattern, replacement, text, count=count, timeout=REGEX_SECONDS)
    except TimeoutError:
        raise ConfigError(f"regex_replace took more than {REGEX_SECONDS:g} seconds.") from None


@cache
def _compile_template(template: str) -> Any:
    """Compile a template, with a cache."""
    return _jinja_environment().from_string(template)


def _fill_template(template: str, row: Mapping[str, Any]) -> str:
    r"""Fill a template with the row's columns.

    >>> _fill_template("Q: {{q|trim}}\nA:\n", {"q": " 1+1? "})
    'Q: 1+1?\nA:\n'
    """
    return _jinja_environment().render(_compile_template(template), row)


@dataclass(frozen=True)
class FieldReader:
    """Evaluates a task file's fields on rows."""

    file: Path
    columns: frozenset[str]
    """Columns of the evaluated rows; a field that equals one of them gives that column."""
    has_choices: bool
    """Whether the task has options, so that a text of digits is an option's index."""

    def text(self, field: Any, row: Mapping[str, Any]) -> Any:
        """doc_to_text: a text, or an index where options are contexts."""
        value = self.value("doc_to_text", field, row)
        return self.index(value) if self.is_template(field) else value

    def target(self, field: Any, row: Mapping[str, Any]) -> Any:
        """doc_to_target: a text, several texts, or an index."""
        value = self.value("doc_to_target", field, row)
        if not self.is_template(field):
            return value
        value = self.index(value)
        if isinstance(value, str) and len(value) >= 2 and value[0] == "[" and value[-1] == "]":
            try:
                return ast.literal_eval(value)
            except (SyntaxError, ValueError):
                return value
        return value

    def choices(self, field: Any, row: Mapping[str, Any]) -> list[str]:
        """doc_to_choice: the options' texts.

        Raises DataError if they are not texts: YAML reads an unquoted `yes` as a boolean.
        """
        value = self.value("doc_to_choice", field, row)
        if self.is_template(field):
            try:
                value = ast.literal_eval(value)
            except (SyntaxError, ValueError):
                raise DataError(
                    f"{self.file}: doc_to_choice must give a list such as {{{{[a, b]}}}}; "
                    f"got {value[:60]!r}."
                ) from None
        value = list(value.values()) if isinstance(value, Mapping) else value
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise DataError(
                f"{self.file}: doc_to_choice must give a list of texts (quote `yes` and `no` in "
                f"YAML); got {str(value)[:60]}."
            )
        return value

    def prefix(self, field: str | None, row: Mapping[str, Any]) -> str:
        """gen_prefix or description: the column of that name, else the template filled."""
        if not field:
            return ""
        if field in row:
            return str(row[field] or "")
        return self.filled("gen_prefix or description", field, row)

    def value(self, name: str, field: Any, row: Mapping[str, Any]) -> Any:
        """The value of a field for a row, before conversion."""
        if isinstance(field, TaskCode):
            return call_code(field, self.file, "a row", lambda: field.call(deepcopy(row)))
        if not isinstance(field, str):
            return field
        return row[field] if field in self.columns else self.filled(name, field, row)

    def is_template(self, field: Any) -> bool:
        """Whether a field is filled in, rather than a column, a literal or code."""
        return isinstance(field, str) and field not in self.columns

    def index(self, text: str) -> Any:
        """A text of digits as an index, if the task has options."""
        if not self.has_choices or not text.isdigit():
            return text
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError):
            raise DataError(f"{self.file}: {text!r} is not the index of an option.") from None

    def filled(self, name: str, template: str, row: Mapping[str, Any]) -> str:
        """Fill a template; DataError naming the file and field if the row lacks a column."""
        try:
            _compile_template(template)
        except ConfigError as error:
            raise ConfigError(f"{self.file}: {name}: {error}") from None
        try:
            return _fill_template(template, row)
        except Exception as error:
            raise DataError(
                f"{self.file}: {name} cannot be filled in ({error}); the row has the columns "
                f"{', '.join(map(str, row))}."
            ) from None
