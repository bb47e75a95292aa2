"""Articles, measured: parts found in real LaTeX and JATS, and the text kept beside other readers.

    python -m benchmarks.documents.articles latex TEXLIVE_DOC [--half development|final] [--show]
    python -m benchmarks.documents.articles jats FOLDER [--half …]     with and without its markup
    python -m benchmarks.documents.articles speed TEXLIVE_DOC /usr/share/man FOLDER

TEXLIVE_DOC is /usr/share/doc/texlive-doc of Debian 13's texlive-publishers-doc,
-humanities-doc and -science-doc, unpacked with gunzip; FOLDER holds the 122 papers (CC BY) of
github.com/PLOS/allofplos; pandoc is Debian's. LaTeX files were marked by hand
(articles_marks.txt), XML is judged by its own tags, read with lxml.  odd files are
the final half.
"""

import argparse
import gzip
import json
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

from groundup.documents import Record, SourceMap, StepResult, apply_result
from groundup.documents.articles.latex import LatexConfig, LatexStep
from groundup.documents.articles.manual import Manual, ManualConfig
from groundup.documents.articles.parts import ArticleParts, ArticlePartsConfig
from groundup.documents.articles.xml import ArticleXml, ArticleXmlConfig

MARKS = Path(__file__).with_name("articles_marks.txt")
WORDS = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Words in small letters."""
    return WORDS.findall(text.lower())


def overlap(ours: str, theirs: str) -> tuple[float, float, float]:
    """Precision, recall and F1 of words, theirs taken as right."""
    a, b = Counter(words(ours)), Counter(words(theirs))
    same = (a & b).total()
    precision, recall = same / max(1, a.total()), same / max(1, b.total())
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


def record_of(path: Path, kind: str) -> Record:
    """A file as a record."""
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    return Record(path.name, "bench", str(path), kind, data=data)


def run(command: list[str], data: bytes) -> str:
    """What another reader says; empty if it fails."""
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return re.sub(r".\x08", "", done.stdout.decode("utf-8", "replace"))


def halves(rows: list, half: str) -> list:
    """Even rows for development, odd ones for the end."""
    return rows[0::2] if half == "development" else rows[1::2]


class Tally:
    """Hits, false finds and misses by name."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, name: str, found: Counter, wanted: Counter) -> None:
        """Count two bags of things."""
        same = (found & wanted).total()
        self.counts[f"{name} hit"] += same
        self.counts[f"{name} false"] += found.total() - same
        self.counts[f"{name} missed"] += wanted.total() - same

    def result(self) -> dict[str, dict[str, float]]:
        """Precision and recall by name."""
        names = dict.fromkeys(key.rsplit(" ", 1)[0] for key in self.counts)
        table = {}
        for name in names:
            hit, false, missed = (
                self.counts[f"{name} {one}"] for one in ("hit", "false", "missed")
            )
            table[name] = {
                "precision": round(hit / max(1, hit + false), 4),
                "recall": round(hit / max(1, hit + missed), 4),
                "wanted": hit + missed,
            }
        return table


def latex(root: Path, half: str, show: bool) -> dict[str, object]:
    """Parts against the marks, text against pandoc and detex-like plain reading."""
    tally, scores = Tally(), []
    rows = [line for line in MARKS.read_text("utf-8").splitlines() if not line.startswith("#")]
    for row in halves(rows, half):
        name, title, authors, captions, references = row.split("|")
        record = record_of(root / name, "latex")
        ruling = LatexStep(LatexConfig())(record)
        if ruling.extracted is None:
            print(name, ruling.reason)
            continue
        known = ruling.metadata
        found = (
            " ".join(words(known.get("title", ""))),
            Counter(map(plain, known.get("authors", []))),
        )
        wanted = " ".join(words(title)), Counter(plain(one) for one in authors.split("; ") if one)
        tally.add("title", Counter([found[0]] if found[0] else []), Counter([wanted[0]]))
        tally.add("authors", found[1], wanted[1])
        for kind, count in (("captions", int(captions)), ("references", int(references))):
            tally.add(kind, Counter({kind: known[kind]}), Counter({kind: count}))
        if show and (found[0] != wanted[0] or found[1] != wanted[1]):
            print(name, found, wanted)
        if show and (known["captions"], known["references"]) != (int(captions), int(references)):
            print(name, known["captions"], captions, known["references"], references)
        source = SourceMap.identity(decoded(record.data)).text.encode()
        theirs = run(["pandoc", "-f", "latex", "-t", "plain", "--wrap=none"], source)
        if len(theirs) > 500:
            plain_text = LatexStep(LatexConfig(math="drop"))(record).extracted.map.text
            scores.append((overlap(plain_text, theirs), name))
    if show:
        print(
            *[f"{score[0]:.3f} {score[1]:.3f} {name}" for score, name in sorted(scores)[:8]],
            sep="\n",
        )
    return {"half": half, **tally.result(), "words beside pandoc": mean([one for one, _ in scores])}


def plain(name: str) -> str:
    """A name to compare by."""
    return " ".join(words(name))


def decoded(data: bytes) -> str:
    """Text of a file."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def mean(scores: list[tuple[float, float, float]]) -> dict[str, float]:
    """Means of precision, recall and F1, and the F1 of the worst twentieth."""
    if not scores:
        return {}
    columns = list(zip(*scores, strict=True))
    low = sorted(columns[2])[len(scores) // 20]
    names = ("precision", "recall", "f1")
    found = {name: round(sum(one) / len(one), 4) for name, one in zip(names, columns, strict=True)}
    return {**found, "f1_5th_percentile": round(low, 4), "documents": len(scores)}


def jats(root: Path, count: int, half: str, show: bool) -> dict[str, object]:
    """Parts by the file's own tags; then the parts that are found in pandoc's plain text."""
    from lxml import etree

    marked, unmarked, scores = Tally(), Tally(), []
    body_lost = body = 0
    for number, path in enumerate(halves(sorted(root.rglob("*.xml")), half)[:count]):
        record = record_of(path, "jats")
        ruling = ArticleXml(ArticleXmlConfig())(record)
        if ruling.extracted is None:
            print(path.name, ruling.reason)
            continue
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        tree = etree.fromstring(record.data, parser)
        known = ruling.metadata
        meta = "./front/article-meta"
        titles = [text_of(one) for one in tree.findall(f"{meta}/title-group/article-title")]
        marked.add("title", Counter([plain(known.get("title", ""))]), Counter(map(plain, titles)))
        names = []
        for one in tree.findall(f"{meta}/contrib-group/contrib[@contrib-type='author']"):
            given, surname = one.findtext("name/given-names") or "", one.findtext("name/surname")
            names.append(f"{given} {surname}" if surname else text_of(one.find("collab")))
        authors = Counter(map(plain, known.get("authors", [])))
        marked.add("authors", authors, Counter(dict.fromkeys(map(plain, names), 1)))
        references = [text_of(one) for one in tree.iter("ref")]
        captions = [
            text_of(one)
            for one in tree.iter("caption")
            if not inside(one, "supplementary-material")
        ]
        captions = [one for one in captions if one.strip()]
        after = apply_result(record, ruling)
        aside = after.metadata.get("aside", {})
        marked.add("captions", bag(aside.get("captions", [])), bag(captions))
        found = [one for one in aside.get("references", []) if len(words(one)) > 2]
        marked.add("references", Counter(n=len(found)), Counter(n=len(references)))
        text, shown = plain_paper(tree)
        lost = parts(text, shown, references, unmarked)
        body, body_lost = body + lost[1], body_lost + lost[0]
        if number % 6 == 0:
            theirs = run(["pandoc", "-f", "jats", "-t", "plain", "--wrap=none"], record.data)
            whole = overlap(ruling.extracted.map.text, theirs)
            scores.append((whole, path.name))
        if show and lost[0] > 20:
            print(path.name, lost)
    if show:
        print(*[f"{a:.3f} {b:.3f} {c:.3f} {n}" for (a, b, c), n in sorted(scores)[:8]], sep="\n")
    return {
        "half": half, "by tags": marked.result(), "in plain text": unmarked.result(),
        "words of the body lost": f"{body_lost} of {body}",
        "words beside pandoc": mean([score for score, _ in scores]),
    }  # fmt: skip


def inside(element, name: str) -> bool:
    """Whether an element stands in another of this name."""
    return next(element.iterancestors(name), None) is not None


def text_of(element) -> str:
    """All text of an element."""
    return "" if element is None else " ".join(" ".join(element.itertext()).split())


def bag(texts: list[str]) -> Counter:
    """Texts by their first words."""
    return Counter(" ".join(words(one)[:8]) for one in texts if words(one))


def plain_paper(tree) -> tuple[str, list[str]]:
    """A paper as plain text, as if its markup had been lost, and the captions in it."""
    blocks, captions = [text_of(tree.find("./front/article-meta/title-group/article-title"))], []
    for one in tree.find("body").iter("p", "title", "fig", "table-wrap"):
        if one.tag in ("fig", "table-wrap"):
            captions.append(f"{text_of(one.find('label'))}. {text_of(one.find('caption'))}")
            blocks.append(captions[-1])
        elif not any(inside(one, name) for name in ("fig", "table-wrap", "supplementary-material")):
            blocks.append(text_of(one))
    blocks.append("References")
    blocks += [f"{number}. {text_of(one)}" for number, one in enumerate(tree.iter("ref"), 1)]
    return "\n\n".join(blocks), captions


def parts(text: str, captions: list[str], references: list[str], tally: Tally) -> tuple[int, int]:
    """What `articles.parts` finds in a text without markup; returns body words lost and all."""
    record = Record("1", "bench", "plain", "text", text, SourceMap.identity(text))
    after = apply_result(record, ArticleParts(ArticlePartsConfig())(record))
    aside = after.metadata.get("aside", {})
    tally.add("captions", bag(aside.get("captions", [])), bag(captions))
    found = Counter(n=len(aside.get("references", [])))
    tally.add("references", found, Counter(n=len(references)))
    apparatus = Counter(words(" ".join([*captions, *references])))
    lost = (Counter(words(text)) - Counter(words(after.text))) - apparatus
    return lost.total(), (Counter(words(text)) - apparatus).total()


def speed(texlive: Path, man: Path, papers: Path) -> dict[str, str]:
    """Documents and megabytes a second of each reader, one core."""
    rows = [line for line in MARKS.read_text("utf-8").splitlines() if not line.startswith("#")]
    sets = {
        "articles.latex": (LatexStep(LatexConfig()), [texlive / row.split("|")[0] for row in rows]),
        "articles.manual": (Manual(ManualConfig()), sorted(man.glob("man1/*.gz"))[:300]),
        "articles.xml": (ArticleXml(ArticleXmlConfig()), sorted(papers.rglob("*.xml"))[:40]),
    }
    table = {}
    for name, (step, paths) in sets.items():
        records = [record_of(path, name) for path in paths if path.is_file()]
        start = time.process_time()
        for record in records:
            ruling: StepResult = step(record)
            if ruling.extracted:
                apply_result(record, ruling)
        seconds = time.process_time() - start
        size = sum(len(record.data) for record in records) / 1e6
        table[name] = f"{len(records) / seconds:.0f} documents/s, {size / seconds:.2f} MB/s"
    return table


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("latex", "jats", "speed"))
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--half", choices=("development", "final"), default="development")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    folder = given.folders[0]
    if given.what == "latex":
        result = latex(folder, given.half, given.show)
    elif given.what == "jats":
        result = jats(folder, given.count, given.half, given.show)
    else:
        result = speed(*given.folders)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
