"""Do people's preferences teach a reward model, and is a rater that errs as good as they are?

    python -m benchmarks.align.people FOLDER [--model runs/tiny/base] [--seeds 0 1 2]

FOLDER is `hutto_ICWSM_2014` of vaderSentiment's source distribution (MIT; `pip download --no-deps
--no-binary :all: vadersentiment==3.3.2`): 23,555 different sentences of tweets, of reviews of films
and products and of editorials, each rated from -4 to 4 by 15 to 100 people. Two sentences of a
source are a pair if a rater of the one is above a rater of the other in 9 of 10 cases. One eighth
of the sentences is held out, each in one pair; settings were chosen on another (--choose).

Fixed before the measured runs, over seeds (of the pairs, of their order and of the head):
    reward   at least 70 % of held-out pairs are ordered as people order them (mean of the seeds)
    labels   the same pairs, a fifth of them turned round by a simulated rater: as many labels and
             updates; its accuracy less people's, with its interval, whichever way it falls

Results: benchmarks/results/align_learning.json.
Source: Hutto and Gilbert 2014, ICWSM.
"""

import argparse
import json
import random
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from benchmarks.table import keep_part
from groundup.align import Preference, RewardModel, RewardModelConfig, reward
from groundup.core import Artifact, Config, Draft, Message, device, digest, produce, write_text
from groundup.measure import Interval, bootstrap, rate
from groundup.train import OptimConfig

ROOT = Path(__file__).resolve().parents[2]
ASKED = {
    "tweets": "How are you?",
    "amazonReviewSnippets": "How do you like the product?",
    "movieReviewSnippets": "How did you like the film?",
    "nytEditorialSnippets": "What do you make of the news?",
}
AGREED, BAR, WRONG = 0.9, 0.7, 0.2
PARTS, TEST, CHOICE = 8, 0, 1
PAIRS = 6_000
SETTINGS = RewardModelConfig(
    max_length=128, validations=1,
    optim=OptimConfig(muon_learning_rate=0.01, learning_rate=2e-3, embedding_learning_rate=0.1),
)  # fmt: skip


class Rated(NamedTuple):
    """A text and what people say of it."""

    source: str
    text: str
    ratings: np.ndarray

    @property
    def part(self) -> int:
        """Which of the parts it is in, whatever the seed."""
        return zlib.crc32(self.text.lower().encode()) % PARTS


class RowsConfig(Config):
    """Identity of an artifact."""

    rows: str = ""
    """Hash of them."""


def main() -> None:
    """Train on people's and on the simulated rater's labels, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=ROOT / "runs" / "tiny" / "base")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "align_people")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--choose", action="store_true", help="on the other eighth, kept nowhere")
    given = parser.parse_args()
    device.set_num_threads()
    texts, test = read_rated(given.folder), CHOICE if given.choose else TEST
    held_out = pairs([each for each in texts if each.part == test], 1, 0)
    train = [each for each in texts if each.part not in (TEST, CHOICE)]
    model, runs = Artifact.open(given.model, "model"), list[dict[str, Any]]()
    right: dict[str, list[np.ndarray]] = {"people": [], "simulated": []}
    for seed in given.seeds:
        labelled = pairs(train, 2, seed)[:PAIRS]
        for rater, rows in (("people", labelled), ("simulated", turned(labelled, seed))):
            made = trained(rows, held_out, model, given.out / f"{rater}-{test}-{seed}", seed)
            right[rater].append(is_right(made.path, held_out))
            said = {"seed": seed, "labels": rater, "trained_on": len(rows)}
            runs.append(said | {"seconds": round(made.seconds)} | made.numbers["held_out"])
            print(json.dumps(runs[-1]), flush=True)
    found = {"runs": runs} | summary(right, held_out)
    print(json.dumps(found, indent=1))
    if not given.choose:
        keep_part("align_learning", "people", found)


def read_rated(folder: Path) -> list[Rated]:
    """Every text once."""
    found = dict[str, Rated]()
    for source in ASKED:
        said = {row[0]: row[3] for row in _rows(folder / f"{source}_anonDataRatings.txt")}
        for row in _rows(folder / f"{source}_GroundTruth.txt"):
            text, ratings = " ".join(row[2].split()), np.array(json.loads(said[row[0]]))
            found.setdefault(text.lower(), Rated(source, text, ratings))
    return list(found.values())


def _rows(file: Path) -> list[list[str]]:
    lines = file.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    return [line.split("\t") for line in lines if line.strip()]


def agreed(one: Rated, other: Rated) -> float:
    """Share of all two people, one of each, of whom the one is above the other; ties half."""
    ahead = one.ratings[:, None] - other.ratings
    return float(((ahead > 0) + (ahead == 0) / 2).mean())


def pairs(texts: Sequence[Rated], rounds: int, seed: int) -> list[Preference]:
    """Pairs that people agree on, shuffled: in a round each text is in one at most."""
    rng, found = random.Random(seed), list[Preference]()
    for _ in range(rounds):
        by_source = defaultdict[str, list[Rated]](list)
        for text in rng.sample(texts, len(texts)):
            by_source[text.source].append(text)
        for source, own in by_source.items():
            for one, other in zip(own[::2], own[1::2], strict=False):
                share, prompt = agreed(one, other), (Message("user", ASKED[source]),)
                if max(share, 1 - share) >= AGREED:
                    sides = (one.text, other.text) if share > 0.5 else (other.text, one.text)
                    found.append(Preference(prompt, *sides))
    return rng.sample(found, len(found))


def turned(rows: Sequence[Preference], seed: int) -> list[Preference]:
    """The labels of a simulated rater, wrong in a fifth of the cases."""
    rng = random.Random(f"simulated:rater {seed}")
    return [
        each._replace(chosen=each.rejected, rejected=each.chosen) if rng.random() < WRONG else each
        for each in rows
    ]


def trained(
    rows: Sequence[Preference], held_out: Sequence[Preference], model: Artifact, out: Path,
    seed: int,
) -> Artifact:  # fmt: skip
    """A reward model; `groundup preferences import` splits by prompt, and all prompts are alike."""
    splits = {"train": rows, "validation": held_out}
    lines = {name: [each.to_json() for each in own] for name, own in splits.items()}
    made = kept(out / "pairs", "preferences", lines)
    return reward(SETTINGS.model_copy(update={"seed": seed}), model, made, out / "reward")


def kept(
    out: Path, kind: Literal["preferences", "examples"], lines: Mapping[str, Sequence[str]]
) -> Artifact:
    """An artifact of rows that are split already."""

    def write(draft: Draft) -> None:
        for name, own in lines.items():
            write_text(draft.path / f"{name}.jsonl", "".join(f"{line}\n" for line in own))

    config = RowsConfig(rows=digest(lines))
    return produce(
        out, kind=kind, stage="people", version=1, config=config, parents={}, write=write
    )


def is_right(path: Path, rows: Sequence[Preference]) -> np.ndarray:
    """(P,) whether a reward model puts each chosen answer first."""
    judge = RewardModel.open(path)
    sides = [[each.conversation(getattr(each, side)) for each in rows]
             for side in ("chosen", "rejected")]  # fmt: skip
    return (judge.score(sides[0]) > judge.score(sides[1])).astype(float)


def summary(right: dict[str, list[np.ndarray]], rows: Sequence[Preference]) -> dict[str, Any]:
    """Accuracy over seeds, by length, and what wrong labels cost; a pair is a group."""
    people, simulated = (np.mean(right[rater], 0) for rater in ("people", "simulated"))
    length = np.array([len(each.chosen) + len(each.rejected) for each in rows])
    thirds = np.digitize(length, np.quantile(length, [1 / 3, 2 / 3]))
    accuracy, lost = bootstrap(people, limits=(0, 1)), bootstrap(simulated - people)
    return {
        "accuracy": figures(accuracy), "bar": BAR, "passed": accuracy.estimate >= BAR,
        "by_seed": [figures(rate(each)) for each in right["people"]],
        "by_length": {name: figures(bootstrap(people[thirds == third], limits=(0, 1)))
                      for third, name in enumerate(("short", "middle", "long"))},
        "simulated_labels": figures(bootstrap(simulated, limits=(0, 1))),
        "simulated_less_people": figures(lost),
    }  # fmt: skip


def figures(found: Interval) -> list[float]:
    """Estimate and bounds."""
    return [round(each, 4) for each in found[:3]]


if __name__ == "__main__":
    main()
