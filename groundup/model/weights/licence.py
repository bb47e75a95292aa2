"""The licence of a third-party model, as its directory states it.

A model card (README.md) names the licence in its front matter; licence and notice files are next to
it. Otherwise the licence is unknown, which is no permission.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

CARD = "README.md"
UNKNOWN = "unknown"
FILES = re.compile(r"(licen[cs]e|copying|notice|use_policy|terms)([._-].*)?", re.IGNORECASE)
FIELD = re.compile(r"^(license|license_name|license_link):[ \t]*(.*(?:\n[ \t]*-[ \t].*)*)", re.M)
ITEM = re.compile(r"(?:^|\n)[ \t]*-[ \t]")
FRONT_MATTER = re.compile(r"---[ \t]*\n((?s:.*?)\n)---[ \t]*$", re.M)
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
    paths = sorted(directory.iterdir()) if directory.is_dir() else []
    files = tuple(
        path.name
        for path in paths
        if FILES.fullmatch(path.name) and path.is_file() and path.stat().st_size <= LARGEST_BYTES
    )
    fields = _card_fields(directory / CARD)
    name = fields.get("license", "")
    if name in ("", "other"):
        name = fields.get("license_name") or name
    first = f"see {files[0]}" if files else ""
    return ModelLicence(name or fallback or first or UNKNOWN, fields.get("license_link", ""), files)


def _card_fields(card: Path) -> dict[str, str]:
    """The licence fields of a model card's front matter; lists joined by commas."""
    if not card.is_file():
        return {}
    with card.open(encoding="utf-8", errors="replace") as file:
        match = FRONT_MATTER.match(file.read(LARGEST_BYTES))
    fields = {}
    for field in FIELD.finditer(match[1] if match else ""):
        value = field[2].strip()
        listed = value[1:-1].split(",") if value.startswith("[") else ITEM.split(value)
        fields[field[1]] = ", ".join(filter(None, (item.strip(" \t\r\"'") for item in listed)))
    return fields


def licence_to_json(licence: ModelLicence) -> dict[str, Any]:
    """A licence as JSON values."""
    return {"name": licence.name, "link": licence.link, "files": list(licence.files)}
