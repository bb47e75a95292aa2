"""How often an undeclared charset is guessed right, by charset and length of the text.

    python -m benchmarks.documents.charsets FOLDER [--slices 40]

FOLDER holds gettext catalogues as `…/LANGUAGE/LC_MESSAGES/*.po` (Debian's python3-django has 90
languages, BSD). Slices of their translations are written in the charsets that the language was
written in before Unicode, and read with no declaration; right means equal text. Slices come from a
fixed seed. The rule of alphabets was added after a look at the errors of seed 11; no constant was
tuned.
"""

import argparse
import random
import re
from pathlib import Path

from groundup.core import write_json
from groundup.documents import decode
from groundup.documents.readers.reader import Refused

ROOT = Path(__file__).resolve().parents[2]

CHARSETS = {
    "cp1252": "de fr es it pt nl sv", "iso8859_2": "pl cs hu", "cp1250": "pl cs hu",
    "cp1251": "ru bg uk", "koi8_r": "ru", "cp1253": "el", "cp1254": "tr", "cp1255": "he",
    "cp1256": "ar", "cp1257": "lt lv", "shift_jis": "ja", "euc_jp": "ja", "gb18030": "zh_Hans",
    "big5": "zh_Hant", "cp949": "ko",
}  # fmt: skip
LENGTHS = (200, 1_000, 5_000)
STRING = re.compile(r'(?m)^(?:msgstr(?:\[\d\])? )?"((?:[^"\\\n]|\\.)*)"')


def translations(folder: Path, language: str) -> str:
    """The translated sentences of a language, a line each."""
    found = []
    for file in sorted(folder.rglob(f"{language}/LC_MESSAGES/django.po")):
        for entry in file.read_text(encoding="utf-8").split("\n\n")[1:]:
            said = entry.partition("\nmsgstr")[2]
            pieces = STRING.findall(f"msgstr{said}")
            found.append("".join(pieces).replace("\\n", "\n").replace('\\"', '"'))
    return "\n".join(line for line in found if line.strip())


def is_read(text: str, charset: str) -> bool:
    """Whether the text comes back from its bytes."""
    try:
        return decode(text.encode(charset)).map.text == text
    except Refused:
        return False


def main() -> None:
    """Print a table of the share guessed right."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--slices", type=int, default=40)
    options.add_argument("--seed", type=int, default=11)
    given = options.parse_args()
    rows = {}
    for charset, languages in CHARSETS.items():
        texts = [translations(given.folder, language) for language in languages.split()]
        texts = [text.encode(charset, "ignore").decode(charset) for text in texts]
        rows[charset] = {}
        for length in LENGTHS:
            chance, right, tried = random.Random(given.seed), 0, 0
            for _ in range(given.slices):
                text = chance.choice(texts)
                start = chance.randrange(max(1, len(text) - length))
                piece = text[start : start + length]
                if len(piece) == length and not piece.isascii():
                    right, tried = right + is_read(piece, charset), tried + 1
            rows[charset][length] = (right, tried)
        told = "  ".join(f"{n}: {right}/{tried}" for n, (right, tried) in rows[charset].items())
        print(f"{charset:10} {told}", flush=True)
    for length in LENGTHS:
        right, tried = (sum(row[length][n] for row in rows.values()) for n in (0, 1))
        print(f"all, {length} characters: {right}/{tried} = {right / max(tried, 1):.3f}")
    write_json(ROOT / "benchmarks" / "results" / "charsets.json", {"rows": rows})


if __name__ == "__main__":
    main()
