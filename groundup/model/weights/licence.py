"""Under which terms somebody else's model may be used: what its directory says, and nothing more.

A model card (README.md) names the licence in its head, between two lines of dashes; licences and
notices lie beside it as files. What neither says is unknown, which is no permission.
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


class Licence(NamedTuple):
    """The terms of a model, as far as they are told."""

    name: str
    """As the card writes it, such as apache-2.0; or which file holds it; or `unknown`."""
    link: str = ""
    """Where the card says that its text is."""
    files: tuple[str, ...] = ()
    """Licences and notices that lie beside the model."""


def licence_of(directory: Path, said: str = "") -> Licence:
    """The licence of a model directory.

    said  what the user knows of it, where the directory is silent

    >>> licence_of(Path("nowhere"))
    Licence(name='unknown', link='', files=())
    """
    files = tuple(licence_files(directory))
    told = dict(card_fields(directory / CARD))
    name = told.get("license", "")
    if name in ("", "other"):
        name = told.get("license_name") or name
    first = f"see {files[0]}" if files else ""
    return Licence(name or said or first or UNKNOWN, told.get("license_link", ""), files)


def licence_files(directory: Path) -> list[str]:
    """Names of the licences and notices in a directory."""
    if not directory.is_dir():
        return []
    found = (path for path in directory.iterdir() if FILES.fullmatch(path.name))
    return sorted(p.name for p in found if p.is_file() and p.stat().st_size <= LARGEST_BYTES)


def card_fields(card: Path) -> Iterator[tuple[str, str]]:
    """Yield the fields about licences in a model card's head; of a list all items, with commas."""
    name, items = "", []
    for line in head(card):
        item, field = ITEM.fullmatch(line), FIELD.fullmatch(line)
        if name and item:
            items.append(plain(item[1]))
            continue
        if name:
            yield name, ", ".join(items)
        name, items = (field[1], [plain(field[2])] if field[2] else []) if field else ("", [])
    if name:
        yield name, ", ".join(items)


def head(card: Path) -> list[str]:
    """The lines between the two lines of dashes that a card begins with; none without them."""
    if not card.is_file():
        return []
    with card.open(encoding="utf-8", errors="replace") as file:
        lines = file.read(LARGEST_BYTES).splitlines()
    if not lines or lines[0].strip() != "---":
        return []
    end = next((i for i, line in enumerate(lines[1:], 1) if line.strip() == "---"), 0)
    return [line.rstrip() for line in lines[1:end]]


def plain(value: str) -> str:
    """A scalar without its quotes, or a list in brackets without them.

    >>> plain("'mit'"), plain("[mit, apache-2.0]")
    ('mit', 'mit, apache-2.0')
    """
    value = value.strip()
    if value.startswith("[") and value.endswith("]"):
        return ", ".join(plain(item) for item in value[1:-1].split(",") if item.strip())
    return value.strip("\"'")


def to_json(licence: Licence) -> dict[str, Any]:
    """A licence as JSON values."""
    return {"name": licence.name, "link": licence.link, "files": list(licence.files)}
