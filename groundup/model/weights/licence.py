"""The licence of a third-party model, as its directory states it.

A model card (README.md) names the licence in its front matter; licence and notice files are next to
it. Otherwise the licence is unknown, which is no permission.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

CARD = "README.md"
UNKNOWN = "unknown"
FILES = re.compile(r"(licen[cs]e|copying|notice|use_policy|terms)([._-].*)?", re.IGNORECASE)
FIELD = re.compile(r"(license|license_name|license_link):\s*(.*)")
ITEM = re.compile(r"\s*-\s+(.*)")
LARGEST_BYTES = 2**20


class ModelLicence(NamedTuple):
    """The licence of a model."""

    name: str
    """As in the card, such as apache-2.0; or which file holds it; or `unknown`."""
    link: str = ""
    """The card's link to its text."""
    files: tuple[str, ...] = ()
    """Licence and notice files in the model's directory."""


def read_model_licence(directory: Path, fallback: str = "") -> ModelLicence:
    """The licence of a model directory.

    fallback  the user's statement, used if the card names none

    >>> read_model_licence(Path("nowhere"))
    ModelLicence(name='unknown', link='', files=())
    """
    files = tuple(_find_licence_files(directory))
    fields = dict(_card_fields(directory / CARD))
    name = fields.get("license", "")
    if name in ("", "other"):
        name = fields.get("license_name") or name
    first = f"see {files[0]}" if files else ""
    return ModelLicence(name or fallback or first or UNKNOWN, fields.get("license_link", ""), files)


def _find_licence_files(directory: Path) -> list[str]:
    """Names of the licence and notice files in a directory."""
    if not directory.is_dir():
        return []
    files = (path for path in directory.iterdir() if FILES.fullmatch(path.name))
    return sorted(p.name for p in files if p.is_file() and p.stat().st_size <= LARGEST_BYTES)


def _card_fields(card: Path) -> Iterator[tuple[str, str]]:
    """Yield the licence fields of a model card's front matter; lists joined by commas."""
    name, items = "", []
    for line in _front_matter(card):
        item, field = ITEM.fullmatch(line), FIELD.fullmatch(line)
        if name and item:
            items.append(_parse_yaml_scalar(item[1]))
            continue
        if name:
            yield name, ", ".join(items)
        name, items = (
            (field[1], [_parse_yaml_scalar(field[2])] if field[2] else []) if field else ("", [])
        )
    if name:
        yield name, ", ".join(items)


def _front_matter(card: Path) -> list[str]:
    """The lines of a card's front matter, if it has any."""
    if not card.is_file():
        return []
    with card.open(encoding="utf-8", errors="replace") as file:
        lines = file.read(LARGEST_BYTES).splitlines()
    if not lines or lines[0].strip() != "---":
        return []
    end = next((i for i, line in enumerate(lines[1:], 1) if line.strip() == "---"), 0)
    return [line.rstrip() for line in lines[1:end]]


def _parse_yaml_scalar(value: str) -> str:
    """A YAML scalar without quotes, or a list without brackets.

    >>> _parse_yaml_scalar("'mit'"), _parse_yaml_scalar("[mit, apache-2.0]")
    ('mit', 'mit, apache-2.0')
    """
    value = value.strip()
    if value.startswith("[") and value.endswith("]"):
        return ", ".join(
            _parse_yaml_scalar(item) for item in value[1:-1].split(",") if item.strip()
        )
    return value.strip("\"'")


def licence_to_json(licence: ModelLicence) -> dict[str, Any]:
    """A licence as JSON values."""
    return {"name": licence.name, "link": licence.link, "files": list(licence.files)}
