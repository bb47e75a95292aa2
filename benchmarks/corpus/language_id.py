"""Language identification on manuals: slices of 200 characters in ten languages and more.

    apt-get download debian-handbook gnome-user-docs \
        debian-reference-{en,de,es,fr,it,ja,pt,zh-cn} \
        debian-faq{,-de,-fr,-it,-ja,-nl,-pt,-ru,-zh-cn}
    dpkg-deb -x each into FOLDER
    python -m benchmarks.corpus.language_id FOLDER [--half tuning|final|untouched] [--each 300]

Manuals are halved by file name; settings were frozen on the tuning half. A paragraph that a
translation leaves mostly in English is no sample of its language and is left out.
"""

import argparse
import hashlib
import random
import re
import time
from collections import Counter
from pathlib import Path

from groundup.corpus.language import IdentifyConfig, identify_language
from groundup.measure import wilson_interval

TEN = ("de", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "zh")
PARAGRAPH = re.compile(r'<(?:p(?:\s[^>]*)?|div class="para")>(.*?)</(?:p|div)>', re.DOTALL)
TAG = re.compile(r"<[^>]*>")


def paragraphs(path: Path) -> list[str]:
    """The paragraphs of an HTML or Mallard page as plain text."""
    import html

    text = path.read_text(encoding="utf-8", errors="replace")
    found = [" ".join(html.unescape(TAG.sub("", p)).split()) for p in PARAGRAPH.findall(text)]
    return [p for p in found if p]


def pages(root: Path) -> dict[str, dict[str, list[str]]]:
    """Language code → page name → paragraphs."""
    found: dict[str, dict[str, list[str]]] = {}
    for folder in sorted(root.glob("**/debian-handbook/html/*")):
        code = folder.name.split("-")[0].replace("nb", "no")
        for path in sorted(folder.glob("*.html")):
            found.setdefault(code, {})[f"{folder.name}/{path.name}"] = paragraphs(path)
    for folder in sorted(root.glob("**/usr/share/help/*/gnome-help")):
        code = re.split("[_@]", folder.parent.name)[0].replace("C", "en").replace("nb", "no")
        for path in sorted(folder.glob("*.page")):
            found.setdefault(code, {})[f"{folder.parent.name}/{path.name}"] = paragraphs(path)
    return found


def untouched(root: Path) -> dict[str, dict[str, list[str]]]:
    """The same of two manuals that nobody looked at before all settings were frozen."""
    found: dict[str, dict[str, list[str]]] = {}
    places = ("debian-reference-common/docs/*.*.html", "debian/FAQ/*.*.html")
    for path in sorted(path for place in places for path in root.glob(f"**/{place}")):
        name, code, _ = path.name.rsplit(".", 2)
        code = code.split("-")[0]
        found.setdefault(code, {})[f"{path.parent}/{path.name}"] = paragraphs(path)
    return found


def runs(line: str) -> set[str]:
    """The runs of three words of a paragraph."""
    words = line.split()
    return {" ".join(words[at : at + 3]) for at in range(max(len(words) - 2, 1))}


def is_english(line: str, english: set[str]) -> bool:
    """Whether a third of a paragraph's runs stand in the English manual: it is not translated."""
    own = runs(line)
    return len(own & english) > len(own) / 3


def slices(manual: dict[str, list[str]], english: set[str], half: str, size: int) -> list[str]:
    """Slices of `size` characters of one language's pages in a half."""
    found = []
    for name, lines in sorted(manual.items()):
        page = name.split("/")[-1]
        is_final = hashlib.sha256(page.encode()).digest()[0] % 2
        if half != "untouched" and is_final != (half == "final"):
            continue
        text = "\n".join(line for line in lines if not is_english(line, english))
        found += [text[at : at + size] for at in range(0, len(text) - size, size)]
    return found


def main() -> None:
    """Print accuracy by language, the voters' alone, and the speed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", default="tuning", choices=("tuning", "final", "untouched"))
    parser.add_argument("--each", type=int, default=300)
    parser.add_argument("--languages", nargs="*")
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--wrong", type=int, default=0)
    options = parser.parse_args()
    manuals = (untouched if options.half == "untouched" else pages)(options.folder)
    english = {run for lines in manuals["en"].values() for line in lines for run in runs(line)}
    config = IdentifyConfig()
    ten: list[bool] = []
    seconds = asked = 0
    for code in sorted(set(options.languages or manuals) & set(manuals)):
        manual = manuals[code]
        texts = slices(manual, set() if code == "en" else english, options.half, options.size)
        random.Random(0).shuffle(texts)
        texts = texts[: options.per_sequence]
        if len(texts) < 50:
            continue
        begun = time.perf_counter()
        found = [identify_language(text, config) for text in texts]
        seconds, asked = seconds + time.perf_counter() - begun, asked + len(texts)
        right = [one.language == code for one in found]
        guessed = sum(one.guess == code for one in found)
        sure = [one.language for one in found if one.language not in (code, "und")]
        share = wilson_interval(sum(right), len(right))
        print(
            f"{code}  n={len(texts):4}  right {sum(right) / len(right):.4f} "
            f"[{share.low:.4f}, {share.high:.4f}]  argmax {guessed / len(right):.4f}  "
            f"und {sum(one.language == 'und' for one in found):3}  wrong {Counter(sure)}",
            flush=True,
        )
        for text, one in zip(texts, found, strict=True):
            if one.language != code and options.wrong:
                print("   ", one, repr(text[: options.wrong]))
        ten += right if code in TEN else []
    share = wilson_interval(sum(ten), len(ten))
    print(f"ten languages: {sum(ten)}/{len(ten)} = {sum(ten) / len(ten):.4f} "
          f"[{share.low:.4f}, {share.high:.4f}]; {asked / seconds:,.0f} slices/s")  # fmt: skip


if __name__ == "__main__":
    main()
