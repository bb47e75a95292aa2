"""What sacrebleu, rouge-score, NLTK and rapidfuzz make of 1,200 varied pairs of texts.

    make oracles                        (or `PYTHON=… make -C tests/oracles measures_text.py`)

Reads   tests/fixtures/measures/text_seeds.json (other scripts, and texts that break tools),
        groundup/measure/text/wordnet.xz, and WordNet's own files of Debian's wordnet-base
Writes  tests/fixtures/measures/text.json.xz

Pairs come from the docstrings of Python's standard library and the seeds, perturbed by a seeded
generator, and from random Unicode. A distance that a peer does not define is kept as null.
"""

import hashlib
import importlib
import inspect
import json
import logging
import lzma
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEEDS = ROOT / "tests/fixtures/measures/text_seeds.json"
OUT = ROOT / "tests/fixtures/measures/text.json.xz"
WORDNET = Path("/usr/share/wordnet")
TABLE = ROOT / "groundup/measure/text/wordnet.xz"
MODULES = (
    "argparse ast asyncio.events collections configparser csv datetime decimal difflib "
    "email.message enum fractions heapq http.client inspect json logging pathlib queue random "
    "sched shutil socket statistics string subprocess tarfile tempfile textwrap threading typing "
    "unittest.case urllib.parse xmlrpc.client zipfile"
).split()
LEXNAMES = (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute "
    "noun.body noun.cognition noun.communication noun.event noun.feeling noun.food noun.group "
    "noun.location noun.motive noun.object noun.person noun.phenomenon noun.plant "
    "noun.possession noun.process noun.quantity noun.relation noun.shape noun.state "
    "noun.substance noun.time verb.body verb.change verb.cognition verb.communication "
    "verb.competition verb.consumption verb.contact verb.creation verb.emotion verb.motion "
    "verb.perception verb.possession verb.social verb.stative verb.weather adj.ppl"
).split()

BLEU = [
    {},
    *({"tokenize": name} for name in ("intl", "char", "zh", "none")),
    {"lowercase": True},
    {"effective_order": True},
    {"tokenize": "intl", "lowercase": True, "effective_order": True},
    {"smooth_method": "none"},
    {"smooth_method": "none", "effective_order": True},
    {"smooth_method": "floor"},
    {"smooth_method": "floor", "smooth_value": 0.01, "effective_order": True},
    {"smooth_method": "add-k"},
    {"smooth_method": "add-k", "smooth_value": 0.5, "effective_order": True},
    {"max_ngram_order": 2, "tokenize": "char"},
]
CHRF = [
    {},
    {"word_order": 2},
    {"word_order": 1, "char_order": 4},
    {"lowercase": True, "beta": 1},
    {"whitespace": True, "beta": 3},
    {"eps_smoothing": True},
    {"eps_smoothing": True, "word_order": 2},
]
TER = [
    {},
    {"normalized": True},
    {"no_punct": True},
    {"normalized": True, "no_punct": True},
    {"case_sensitive": True},
]
ROUGE = ["rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum"]
METEOR = [{}, {"alpha": 0.81, "beta": 0.83, "gamma": 0.28}]
ENDINGS = ("", "s", "es", "ed", "ing", "er", "ly", "ness")


# ---- pairs ----


def docstrings() -> list[str]:
    """Paragraphs of the standard library's docstrings, 40 to 600 characters each."""
    found = []
    for name in MODULES:
        module = importlib.import_module(name)
        things = [module, *(value for _, value in sorted(vars(module).items()))]
        texts = [inspect.getdoc(thing) or "" for thing in things if inspect.isroutine(thing)
                 or inspect.isclass(thing) or inspect.ismodule(thing)]  # fmt: skip
        for text in texts:
            found += [" ".join(part.split()) for part in text.split("\n\n")]
    kept = dict.fromkeys(text for text in found if 40 <= len(text) <= 600 and ">>>" not in text)
    return list(kept)


def perturbed(text: str, rng: random.Random, nearby: Callable[[str], list[str]]) -> str:
    """The text with a few of its words dropped, doubled, moved, bent, misspelt or replaced."""
    words = text.split(" ")
    for _ in range(rng.randint(1, 1 + len(words) // 3)):
        i = rng.randrange(len(words)) if words else 0
        if not words:
            return ""
        word, change = words[i], rng.randrange(10)
        if change == 0:
            del words[i]
        elif change == 1:
            words.insert(i, rng.choice(words))
        elif change == 2:
            j = rng.randrange(len(words))
            words[i], words[j] = words[j], words[i]
        elif change == 3:
            length, moved = rng.randint(1, 6), rng.randrange(len(words))
            piece = words[i : i + length]
            del words[i : i + length]
            words[moved:moved] = piece
        elif change == 4 and word:
            at = rng.randrange(len(word))
            words[i] = word[:at] + rng.choice("aeistxé-\u0301") + word[at + rng.randint(0, 1) :]
        elif change == 5:
            words[i] = rng.choice([word.upper(), word.title(), word.lower()])
        elif change == 6:
            words[i] = word + rng.choice(["s", "ed", "ing", "ly", ".", ",", "'s", "-5", "!", "\n"])
        elif others := nearby(word):
            words[i] = rng.choice(others)
    return " ".join(words)


def random_text(rng: random.Random) -> str:
    """Up to 40 characters of any kind, often few different ones."""
    # Low surrogates only: a high one before them would be read as one character from JSON.
    pools = ["ab ", "abc. ,1-", "日本語 。", "اب ج", "👩🏽\u200d🚒🙂 ❤️", "e\u0301n\u0303 ",
             "\udc00x \udfff",
             "".join(chr(rng.randrange(32, 0x2FFF)) for _ in range(12)) + " "]  # fmt: skip
    pool = rng.choice(pools)
    return "".join(rng.choice(pool) for _ in range(rng.randrange(40)))


def pairs(nearby: Callable[[str], list[str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield 1,200 answers with one to three references each."""
    rng, texts = random.Random(0), docstrings()
    seeds = json.loads(SEEDS.read_text(encoding="utf-8"))
    rng.shuffle(texts)

    def references(text: str) -> list[str]:
        others = [perturbed(text, rng, nearby) for _ in range(rng.choice([0, 0, 0, 1, 2]))]
        return [text, *others]

    for text in texts[:700]:
        yield perturbed(text, rng, nearby), references(text)
    for left, right in zip(texts[700:740], texts[740:780], strict=True):
        yield left, [right]
    for start in range(780, 1080, 4):  # summaries of several lines
        lines = [perturbed(text, rng, nearby) for text in texts[start : start + 4]]
        rng.shuffle(lines)
        yield "\n".join(lines[: rng.randint(1, 4)]), ["\n".join(texts[start : start + 3])]
    for _ in range(6):
        for text in seeds["scripts"]:
            yield perturbed(text, rng, lambda word: [word[::-1]]), references(text)
    for _ in range(100):
        yield random_text(rng), [random_text(rng) for _ in range(rng.choice([1, 1, 2]))]
    for left in seeds["edges"]:
        for right in rng.sample(seeds["edges"], 6):
            yield left, [right]
    for text in seeds["edges"]:
        yield text, [text]


# ---- peers ----


def wordnet() -> object:
    """NLTK's reader on Debian's files, which lack two small ones."""
    import nltk

    home = Path(tempfile.mkdtemp())
    folder = home / "corpora/wordnet"
    folder.mkdir(parents=True)
    for file in WORDNET.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    kinds = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
    rows = [f"{i:02d}\t{name}\t{kinds[name.split('.')[0]]}" for i, name in enumerate(LEXNAMES)]
    (folder / "lexnames").write_text("\n".join(rows) + "\n")
    (folder / "index.sense").write_text("")
    nltk.data.path.insert(0, str(home))
    return importlib.import_module("nltk.corpus").wordnet


def sacrebleu_values(rows: list) -> Iterator[tuple[str, dict, list]]:
    """Each measure and its options with the value of each pair."""
    from sacrebleu.metrics import BLEU as Bleu
    from sacrebleu.metrics import CHRF as Chrf
    from sacrebleu.metrics import TER as Ter
    from sacrebleu.metrics import lib_ter

    for name, kind, choices in (("bleu", Bleu, BLEU), ("chrf", Chrf, CHRF), ("ter", Ter, TER)):
        for options in choices:
            metric = kind(**options)
            yield name, options, [metric.sentence_score(a, refs).score for a, refs in rows]
    # Tercom's search as it is meant: edits not only near the diagonal.
    lib_ter._BEAM_WIDTH = 10**6
    yield "ter", {"beam": None}, [Ter().sentence_score(a, refs).score for a, refs in rows]
    lib_ter._BEAM_WIDTH = 25


def corpus_values(rows: list) -> Iterator[tuple[str, dict, list]]:
    """Scores of corpora of 40 pairs each; those with fewer references get None for the others."""
    from sacrebleu.metrics import BLEU as Bleu
    from sacrebleu.metrics import CHRF as Chrf
    from sacrebleu.metrics import TER as Ter

    for name, kind, choices in (("bleu", Bleu, BLEU), ("chrf", Chrf, CHRF), ("ter", Ter, TER)):
        for options in choices:
            metric, values = kind(**options), []
            for start in range(0, len(rows), 40):
                part = rows[start : start + 40]
                most = max(len(refs) for _, refs in part)
                streams = [[refs[k] if k < len(refs) else None for _, refs in part]
                           for k in range(most)]  # fmt: skip
                values.append(metric.corpus_score([a for a, _ in part], streams).score)
            yield f"corpus {name}", options, values


def rouge_values(rows: list) -> Iterator[tuple[str, dict, list]]:
    """Precision, recall and F of each pair, the best reference by F."""
    from rouge_score.rouge_scorer import RougeScorer

    for stemmer in (False, True):
        scorer = RougeScorer(ROUGE, use_stemmer=stemmer)
        found = [scorer.score_multi(refs, a) for a, refs in rows]
        for kind in ROUGE:
            yield "rouge", {"kind": kind, "stemmer": stemmer}, [list(s[kind]) for s in found]


def meteor_values(rows: list, reader: object) -> Iterator[tuple[str, dict, list]]:
    """METEOR with synonyms of texts cut at white space."""
    from nltk.translate.meteor_score import meteor_score

    for options in METEOR:
        yield (
            "meteor",
            options,
            [
                meteor_score([ref.split() for ref in refs], a.split(), wordnet=reader, **options)
                for a, refs in rows
            ],
        )


def edit_values(rows: list) -> Iterator[tuple[str, dict, list]]:
    """Distances of each answer to its first reference, and the edits by kind the other way."""
    from rapidfuzz import distance as d

    cuts = {"characters": lambda text: text, "spaced": str.split,
            "words": lambda text: re.findall(r"\w+", text)}  # fmt: skip
    peers = {
        "levenshtein": d.Levenshtein.distance, "osa": d.OSA.distance, "indel": d.Indel.distance,
        "subsequence_length": d.LCSseq.similarity,
        "edit_similarity": d.Levenshtein.normalized_similarity,
        "indel_similarity": d.Indel.normalized_similarity,
        "edits": lambda a, b: [kinds.count(k) for kinds in [[e.tag for e in
                 d.Levenshtein.editops(b, a)]] for k in ("replace", "delete", "insert")],
    }  # fmt: skip
    for unit, cut in cuts.items():
        for name, peer in peers.items():
            values = [peer(cut(a), cut(refs[0])) for a, refs in rows]
            yield name, {"unit": unit}, values


def self_bleu(rows: list) -> list[float]:
    """Mean of each answer's BLEU beside the others, for groups of 20 answers."""
    from sacrebleu.metrics import BLEU as Bleu

    metric, found = Bleu(effective_order=True), []
    for start in range(0, 400, 20):
        texts = [refs[0] for _, refs in rows[start : start + 10] for _ in (0, 1)]
        texts[::2] = [a for a, _ in rows[start : start + 10]]
        scores = [metric.sentence_score(text, texts[:i] + texts[i + 1 :]).score
                  for i, text in enumerate(texts)]  # fmt: skip
        found.append(sum(scores) / len(scores))
    return found


def digests(words: list[str], told: Callable[[str], str]) -> dict[str, str]:
    """By first letter, the digest of what a function says of every word with each ending."""
    found: dict[str, hashlib._Hash] = {}
    for word in words:
        digest = found.setdefault(word[0], hashlib.sha256())
        for ending in ENDINGS if len(word) % 4 == 0 else ENDINGS[:1]:
            digest.update(f"{word}{ending} {told(word + ending)}\n".encode())
    return {letter: digest.hexdigest() for letter, digest in sorted(found.items())}


def main() -> None:
    """Ask every peer and write the fixture."""
    from nltk.stem.porter import PorterStemmer

    logging.disable(logging.WARNING)
    reader, stem = wordnet(), PorterStemmer().stem
    blocks = lzma.decompress(TABLE.read_bytes()).decode().split("\n\n")
    words = sorted({word.lower() for block in blocks for word in block.split()[2:]})

    def alike(word: str) -> list[str]:
        names = {name for s in reader.synsets(word) for name in s.lemma_names() if "_" not in name}
        return sorted({word, *(name for name in names if name == name.lower())})

    rows = list(pairs(lambda word: alike(word.lower()) if word.isalpha() else []))
    columns = [*sacrebleu_values(rows), *corpus_values(rows), *rouge_values(rows),
               *meteor_values(rows, reader), *edit_values(rows)]  # fmt: skip
    packages = ("sacrebleu", "rouge-score", "nltk", "rapidfuzz")
    fixture = {
        "versions": {name: version(name) for name in packages},
        "pairs": rows,
        "columns": [{"measure": name, "options": options, "values": values}
                    for name, options, values in columns],
        "self_bleu": self_bleu(rows),
        "words": len(words),
        "stems": digests(words, stem),
        "synonyms": digests(words, lambda word: " ".join(alike(word))),
    }  # fmt: skip
    OUT.parent.mkdir(parents=True, exist_ok=True)
    payload = json.dumps(fixture, separators=(",", ":")).encode()
    OUT.write_bytes(lzma.compress(payload, preset=9 | lzma.PRESET_EXTREME))
    print(f"{OUT.relative_to(ROOT)}: {len(rows)} pairs, {len(columns)} columns, "
          f"{OUT.stat().st_size:,} bytes", file=sys.stderr)  # fmt: skip


if __name__ == "__main__":
    main()
