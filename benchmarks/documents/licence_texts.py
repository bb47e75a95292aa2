"""Make groundup/documents/licences/texts.txt.xz from scancode's licence texts and notices.

    SCANCODE/bin/python -m benchmarks.documents.licence_texts

Needs scancode-toolkit and 'pluggy<1.6'.

scancode-toolkit's licence data is CC-BY-4.0, Copyright (c) nexB Inc. and others; the file's first
line says so. Taken are the texts of all licences with an SPDX id, and notices, references and tags
of up to 400 words; of licences without an id (LicenseRef-) those of up to 150.
One line each: kind, SPDX expression, phrases that must be there, words. First come, as kind `word`,
the spellings that are one word (licence, licenses) and those that say nothing (a, br, amp), from
scancode's legalese.py and stopwords.py (Apache-2.0); the words of every line are in that form.
"""

import lzma
import re
from collections import Counter
from pathlib import Path

OUT = Path(__file__).resolve().parents[2] / "groundup/documents/licences/texts.txt.xz"
WORD = re.compile(r"[^\W_]+\+?")
REQUIRED = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
MAX_WORDS, MAX_OTHER_WORDS = 400, 150
# Notices that name no licence: they must match, so that no other does in their place.
NAMES_NONE = re.compile(
    r"LicenseRef-scancode-(?:.*unknown|warranty-disc|generic-cla|dco|.*disclaimer$)"
)
CREDIT = (
    "# Licence texts and notices from scancode-toolkit {version}, Copyright (c) nexB Inc. and"
    " others,"
    " https://github.com/aboutcode-org/scancode-toolkit, CC-BY-4.0 (spellings Apache-2.0); reduced"
    " to words."
)


def spellings() -> dict[str, str]:
    """Words by the one that stands for them here; empty for those that are left out."""
    from licensedcode.legalese import common_license_words
    from licensedcode.stopwords import STOPWORDS

    groups: dict[int, list[str]] = {}
    for word, number in common_license_words.items():
        if "spdx" not in word and "identifier" not in word:
            groups.setdefault(number, []).append(word)
    same = {}
    for group in groups.values():
        usual = "license" if "license" in group else min(group)
        same.update(dict.fromkeys({*group} - {usual}, usual))
    return same | dict.fromkeys(STOPWORDS, "")


def plain(text: str, same: dict[str, str]) -> str:
    """A text's words in their one form."""
    words = (same.get(word, word) for word in WORD.findall(text.lower()))
    return " ".join(word for word in words if word)


def main() -> None:
    """Write the file."""
    from licensedcode.cache import get_licensing
    from licensedcode.models import get_rules, load_licenses
    from scancode_config import __version__

    licensing = get_licensing()
    licences = load_licenses(with_deprecated=False)
    spdx = {key: one.spdx_license_key for key, one in licences.items()}
    rules = [rule for rule in get_rules() if not rule.is_deprecated and rule.language == "en"]
    same = spellings()
    lines = set()
    for rule in rules:
        keys = set(licensing.license_keys(rule.license_expression))
        refused = all((spdx.get(key) or "LicenseRef").startswith("LicenseRef") for key in keys)
        words = plain(re.sub(r"\{\{|\}\}", " ", rule.text), same)
        kind = (
            "false" if rule.is_false_positive else "text" if rule.is_license_text
            else "tag" if rule.is_license_tag else "notice" if rule.is_license_notice
            else "reference" if rule.is_license_reference else ""
        )  # fmt: skip
        limit = MAX_OTHER_WORDS if refused else 10**6 if rule.is_from_license else MAX_WORDS
        if not kind or not words or words.count(" ") >= limit:
            continue
        kind = "licence" if rule.is_from_license else kind
        expression = rule.license_expression or ""
        parsed = licensing.parse(expression) if expression else None
        said = parsed.render("{symbol.wrapped.spdx_license_key}") if parsed is not None else ""
        said = "" if NAMES_NONE.search(said) else said
        required = [plain(one, same) for one in REQUIRED.findall(rule.text)]
        lines.add(f"{kind}|{said}|{';'.join(sorted(set(required) - {''}))}|{words}")
    forms = [f"word|{form}||{word}" for word, form in sorted(same.items())]
    text = "\n".join([CREDIT.format(version=__version__), *forms, *sorted(lines)]) + "\n"
    OUT.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(len(lines), "lines", len(text), "bytes", OUT.stat().st_size)
    print(Counter(line.partition("|")[0] for line in lines))


if __name__ == "__main__":
    main()
