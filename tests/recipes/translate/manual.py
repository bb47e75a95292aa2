"""A manual of made-up sentences in two languages whose words and order differ by rule."""

import itertools
from pathlib import Path

NOUNS = {"window": "fenra", "file": "dosko", "printer": "premu", "folder": "kaveto",
         "network": "reda", "screen": "ekrano", "user": "uzanto", "disk": "disko",
         "menu": "listo", "server": "helpa", "page": "folio", "key": "klavo"}  # fmt: skip
ADJECTIVES = {"new": "nova", "old": "olda", "large": "granda", "small": "eta", "open": "aperta",
              "shared": "komuna", "empty": "vaka", "second": "dua"}  # fmt: skip
VERBS = {"close": "fermu", "move": "movu", "print": "presu", "choose": "elektu", "delete": "forigu",
         "rename": "nomu", "copy": "kopiu", "lock": "serru"}  # fmt: skip


def sentences() -> list[tuple[str, str]]:
    """Orders such as `Close the new window.`; the other language puts adjectives last."""
    made = []
    for (verb, verbo), (adjective, ajo), (noun, nomo) in itertools.product(
        VERBS.items(), ADJECTIVES.items(), NOUNS.items()
    ):
        left = f"{verb.capitalize()} the {adjective} {noun}."
        made.append((left, f"{nomo.capitalize()} {ajo} la {verbo}!"))
    return made


def write_manual(root: Path, pages: int = 80) -> tuple[Path, Path]:
    """Write the pages of both languages; sentences are spread over them."""
    whole = sentences()
    places = sorted(range(len(whole)), key=lambda i: (i * 7919) % len(whole))
    for page in range(pages):
        mine = [whole[i] for i in places[page::pages]]
        for side, language in enumerate(("en", "xx")):
            folder = root / language / "help"
            folder.mkdir(parents=True, exist_ok=True)
            items = "".join(f"<item><p>{pair[side]}</p></item>" for pair in mine)
            title = f"<title>{('Page', 'Folio')[side]} number {page}</title>"
            (folder / f"topic-{page:02}.page").write_text(
                f"<page>{title}<steps>{items}</steps></page>"
            )
    return root / "en", root / "xx"
