"""Speed of our measures of texts beside sacrebleu, rouge-score and NLTK, on 2,000 pairs.

    python -m benchmarks.measure.measures_speed --peer .oracles/measures/bin/python

Both sides score the same pairs one by one in a process of their own, in turn, with nothing kept
from one round to the next (peers' caches of tokens are emptied, so are ours). The measure's set-up
is not counted, WordNet's tables included. Peers' results equal ours:
docs/benchmarks/agreement.md.
"""

import argparse
import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests" / "fixtures" / "measures" / "text.json.xz"
PAIRS = 2000
PEERS = {"BLEU": "sacrebleu", "chrF": "sacrebleu", "TER": "sacrebleu", "ROUGE-L": "rouge-score",
         "ROUGE-Lsum, stems": "rouge-score", "METEOR": "nltk"}  # fmt: skip


def pairs() -> list[tuple[str, list[str]]]:
    """2,000 different pairs: the fixture's English ones, numbered anew each time around."""
    known, found = json.loads(lzma.decompress(FIXTURE.read_bytes()))["pairs"][:700], []
    for place in range(PAIRS):
        answer, references = known[place % len(known)]
        take = f" (take {place // len(known)})"
        found.append((answer + take, [text + take for text in references]))
    return found


# ---- the two sides: each gives functions of one pair, by name ----


def ours() -> dict[str, Callable[[str, list[str]], Any]]:
    """Our measures, ready."""
    from groundup.measure import Bleu, Chrf, Meteor, Rouge, Ter

    meteor = Meteor(alignment="nltk", tokeniser="none")
    lsum = Rouge(kind="Lsum", stemmer=True)
    return {
        "BLEU": Bleu().sentence, "chrF": Chrf().sentence, "TER": Ter().sentence,
        "ROUGE-L": Rouge().sentence, "ROUGE-Lsum, stems": lsum.sentence,
        "METEOR": meteor.sentence,
    }  # fmt: skip


def peers() -> dict[str, Callable[[str, list[str]], Any]]:
    """The peers' measures, ready."""
    sys.path.insert(0, str(ROOT / "tests" / "oracles"))
    from measures_text import wordnet
    from nltk.translate.meteor_score import meteor_score
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU, CHRF, TER

    bleu, chrf, ter, reader = BLEU(effective_order=True), CHRF(), TER(), wordnet()
    plain, stemmed = RougeScorer(["rougeL"]), RougeScorer(["rougeLsum"], use_stemmer=True)
    reader.synsets("ready")
    return {
        "BLEU": bleu.sentence_score, "chrF": chrf.sentence_score, "TER": ter.sentence_score,
        "ROUGE-L": lambda answer, known: plain.score_multi(known, answer),
        "ROUGE-Lsum, stems": lambda answer, known: stemmed.score_multi(known, answer),
        "METEOR": lambda answer, known: meteor_score(
            [text.split() for text in known], answer.split(), wordnet=reader),
    }  # fmt: skip


def forget() -> None:
    """Empty the caches of tokens, stems and synonyms of either side."""
    import gc
    from functools import _lru_cache_wrapper

    for thing in gc.get_objects():
        if isinstance(thing, _lru_cache_wrapper) and thing.__module__.split(".")[0] in (
            "groundup", "sacrebleu"
        ):  # fmt: skip
            thing.cache_clear()


def serve(side: dict[str, Callable[[str, list[str]], Any]]) -> None:
    """Answer names of measures on stdin with pairs a second on stdout."""
    asked = pairs()
    for line in sys.stdin:
        score = side[line.strip()]
        # Twenty times less for the slowest, so that a round takes seconds.
        some = asked[: PAIRS // 20] if line.startswith("TER") else asked
        forget()
        score(*asked[-1])
        start = perf_counter()
        for answer, known in some:
            score(answer, known)
        print(len(some) / (perf_counter() - start), flush=True)


class Side:
    """One side in a process of its own."""

    def __init__(self, python: str, role: str) -> None:
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.measure.measures_speed", "--role", role],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def speed(self, measure: str) -> float:
        """Pairs a second of one round."""
        assert self.process.stdin and self.process.stdout
        print(measure, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


def main() -> None:
    """Compare every measure and keep the rows, or be one of the sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default=str(ROOT / ".oracles/measures/bin/python"))
    parser.add_argument("--role", choices=["ours", "peers"])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.role:
        serve({"ours": ours, "peers": peers}[arguments.role]())
        return
    if not Path(arguments.peer).exists():
        print(f"No peers at {arguments.peer}: run `make oracles`; skipped.", file=sys.stderr)
        return
    # Imports torch, which the peers' environment lacks.
    from benchmarks.table import Peer, alternate, compare, report

    left, right = Side(sys.executable, "ours"), Side(arguments.peer, "peers")
    versions = json.loads(lzma.decompress(FIXTURE.read_bytes()))["versions"]
    rows = []
    for measure, peer in PEERS.items():
        sides = {
            "ours": lambda name=measure: left.speed(name),
            "peer": lambda name=measure: right.speed(name),
        }
        speeds = alternate(sides, rounds=arguments.rounds)
        named = Peer(peer, versions[peer])
        rows.append(compare(measure, "pairs/s", speeds["ours"], speeds["peer"], named))
    for side in (left, right):
        side.process.terminate()
        side.process.wait()
    report("measures_speed", rows)


if __name__ == "__main__":
    main()
