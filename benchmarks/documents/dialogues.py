"""conversations.turns and quality on dialogues that people had, scored or wrote.

    python -m benchmarks.documents.dialogues scores CONVAI --half development|final
    python -m benchmarks.documents.dialogues order CONVAI --half development|final
    python -m benchmarks.documents.dialogues disclaimers ALPACA --half development|final [--show]

CONVAI is `data` of github.com/DeepPavlov/convai (54d921f): talks of a person and a bot or another
person, which the person scored from 1 to 5. scores: is what the steps drop, or what their figures
say, what people scored 1 or 2? order: faults planted at known places of those of its talks that
have none.
ALPACA is `results` of github.com/tatsu-lab/alpaca_eval (cd543a1), answers of models to 805
instructions: of the sentences of 24 models that say I and a word such as AI, model or assistant,
201 are marked in disclaimers_marks.txt. A talk or sentence belongs to the half that its CRC says.
"""

import argparse
import json
import random
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from groundup.corpus.quality.training import _auc
from groundup.documents import Record, SourceMap, StepResult, TextSpan
from groundup.documents.conversations.turns import (
    Boilerplate,
    BoilerplateConfig,
    ConversationQuality,
    ConversationQualityConfig,
    TurnOrder,
    TurnOrderConfig,
    _find_disclaimers,
    find_turns,
)
from groundup.measure import wilson_interval

Talk = list[tuple[str, str]]
"""Speaker and what is said, turn by turn."""
MODELS = (
    "gpt-3.5-turbo-0301 gpt-3.5-turbo-0613 llama-2-7b-chat-hf llama-2-70b-chat-hf vicuna-7b "
    "vicuna-13b falcon-7b-instruct guanaco-13b gemma-7b-it claude claude-2 "
    "Mistral-7B-Instruct-v0.2 oasst-sft-llama-33b wizardlm-13b baize-v2-7b chatglm2-6b phi-2-dpo "
    "gpt4_0613 gemini-pro Qwen1.5-7B-Chat Meta-Llama-3-8B-Instruct openbuddy-falcon-7b-v6 "
    "alpaca-7b pythia-12b-mix-sft"
).split()
MARKS = Path(__file__).with_name("disclaimers_marks.txt")
MACHINE = re.compile(
    r"\b(?:AI|language model|artificial intelligence|assistant|chatbot|bot|computer program|virtual"
    r"|machine|neural|OpenAI|trained|LLM)\b",
    re.IGNORECASE,
)
ME = re.compile(r"\b(?:I|I'm|me|my|myself|we)\b")
SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
BOUNDS = {"monologue": 0.8, "unanswered": 0.5, "words": 40.0, "words_a_turn": 4.0}
"""Where each figure cuts, set on the development half."""
LOW = 2
"""A score of people up to this is low."""


def half_of(text: str) -> str:
    """Which half a talk belongs to."""
    return "final" if zlib.crc32(text.encode()) % 2 else "development"


def spoken(talk: Talk) -> Record:
    """A talk as a record."""
    spans, at = [], 0
    for speaker, line in talk:
        spans.append(TextSpan("turn", at, at + len(line), speaker))
        at += len(line) + 1
    text = "\n".join(line for _, line in talk) + "\n"
    return Record("1", "s", "p", "conversation", text, SourceMap.identity(text), tuple(spans))


def scored(root: Path, half: str) -> Iterator[tuple[Talk, int]]:
    """Yield each talk of a half once, with its score."""
    seen = set()
    for path in sorted(root.glob("*.json")):
        for one in json.loads(path.read_text(encoding="utf-8")):
            talk = [(turn["sender"], turn["text"]) for turn in one["dialog"]]
            key = json.dumps(talk)
            if talk and key not in seen and half_of(key) == half and one["eval_score"]:
                yield talk, int(one["eval_score"])
            seen.add(key)


def share(right: int, of: int) -> str:
    """A share with its interval."""
    if not of:
        return "none"
    found = wilson_interval(right, of)
    return f"{found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}] ({right} of {of})"


def reason_of(record: Record) -> tuple[str, dict[str, float]]:
    """The first reason of the three steps with their defaults, and all figures."""
    open_ = ConversationQualityConfig(min_words=0)
    figures = dict(ConversationQuality(open_)(record).metadata) | dict(
        TurnOrder(TurnOrderConfig())(record).metadata
    )
    steps = (
        TurnOrder(TurnOrderConfig()),
        Boilerplate(BoilerplateConfig()),
        ConversationQuality(ConversationQualityConfig()),
    )
    reasons = [step(record).reason for step in steps]
    return next((one for one in reasons if one), ""), figures


def scores(root: Path, half: str) -> None:
    """Precision and recall of what is dropped; area under the curve of each figure."""
    rows = [(*reason_of(spoken(talk)), score <= LOW) for talk, score in scored(root, half)]
    low = sum(is_low for *_, is_low in rows)
    print(f"{len(rows)} talks with a score, {low} of them of 1 or 2: {low / len(rows):.3f}")
    reasons = Counter(reason for reason, *_ in rows if reason)
    right = sum(is_low for reason, _, is_low in rows if reason)
    print(f"dropped: precision {share(right, reasons.total())} recall {share(right, low)}")
    print(f"false alarms {share(reasons.total() - right, len(rows) - low)}")
    for reason, number in reasons.most_common():
        right = sum(is_low for one, _, is_low in rows if one == reason)
        print(f"  {reason:32}precision {share(right, number)}")
    kept = [(figures, is_low) for reason, figures, is_low in rows if not reason]
    print(f"of the {len(kept)} that stay, {sum(is_low for _, is_low in kept)} low; figures:")
    labels = np.array([is_low for _, is_low in kept])
    for name in BOUNDS:
        values = np.array([float(figures[name]) for figures, _ in kept])
        sign = -1 if name.startswith("words") else 1
        area = _auc(sign * values, labels)
        cut = values < BOUNDS[name] if sign < 0 else values > BOUNDS[name]
        print(f"  {name:16}AUC {area['estimate']:.3f} [{area['low']:.3f}, {area['high']:.3f}]; "
              f"{'below' if sign < 0 else 'above'} {BOUNDS[name]}: precision "
              f"{share(int((cut & labels).sum()), int(cut.sum()))} "
              f"recall {share(int((cut & labels).sum()), int(labels.sum()))}")  # fmt: skip


def whole(root: Path, half: str) -> list[Talk]:
    """Talks of at least six turns whose speakers take turns and repeat nothing at once."""
    found = []
    for talk, _ in scored(root, half):
        joined: Talk = []
        for speaker, line in talk:
            line = " ".join(line.split())
            if not line:
                continue
            if joined and joined[-1][0] == speaker:
                joined[-1] = (speaker, f"{joined[-1][1]} {line}")
            else:
                joined.append((speaker, line))
        names = dict(
            zip(dict.fromkeys(name for name, _ in joined), ("user", "assistant"), strict=False)
        )
        if len(joined) >= 6:
            found.append([(names[speaker], line) for speaker, line in joined])
    return found


def doubled(talk: Talk, at: int) -> Talk:
    """A turn is said twice."""
    return [*talk[: at + 1], talk[at], *talk[at + 1 :]]


def emptied(talk: Talk, at: int) -> Talk:
    """A turn says nothing."""
    return [*talk[:at], (talk[at][0], "   "), *talk[at + 1 :]]


PLANTED: dict[str, tuple[Callable[[Talk, int], Talk], str]] = {
    "turn said twice": (doubled, "cut: turn said twice"),
    "said twice, spaced anew": (
        lambda talk, at: [*talk[: at + 1], (talk[at][0], talk[at][1].replace(" ", "  ")),
                          *talk[at + 1 :]],
        "cut: turn said twice",
    ),
    "empty turn": (emptied, "cut: empty turn"),
    "system in the middle": (
        lambda talk, at: [*talk[:at], ("system", "You are a helpful person."), *talk[at:]],
        "turns: system after the start",
    ),
    "first turn lost": (lambda talk, at: talk[1:], "turns: assistant first"),
    "middle turn lost": (lambda talk, at: talk[:at] + talk[at + 1 :], "turns: no alternation"),
    "two turns swapped": (
        lambda talk, at: [*talk[:at], talk[at + 1], talk[at], *talk[at + 2 :]],
        "turns: no alternation",
    ),
    "two texts swapped": (
        lambda talk, at: [*talk[:at], (talk[at][0], talk[at + 1][1]),
                          (talk[at + 1][0], talk[at][1]), *talk[at + 2 :]],
        "",
    ),
    "nothing but a turn": (lambda talk, at: talk[at : at + 1], "turns: too few"),
}  # fmt: skip
"""Fault, how it is planted at a place, and what the step should say: nothing of texts swapped."""


def order(root: Path, half: str) -> None:
    """Share of planted faults that are found where they are; alarms on talks without them."""
    rng = random.Random(0)
    talks = whole(root, half)
    strict = TurnOrder(TurnOrderConfig(alternation=True, starts_with_user=True))
    alarms = Counter(said for talk in talks for said, _ in told(strict(spoken(talk))))
    print(f"{len(talks)} talks as they are: alarms {dict(alarms)}")
    for name, (plant, wanted) in PLANTED.items():
        # an empty turn breaks the order too, and a talk of odd length said again has no order
        step = (
            TurnOrder(TurnOrderConfig())
            if name in ("empty turn", "talk said three times")
            else strict
        )
        found = elsewhere = 0
        for talk in talks:
            at = rng.randrange(1, len(talk) - 2)
            record = spoken(plant(talk, at))
            place = record.spans[min(at + ("twice" in name), len(record.spans) - 1)]
            said = told(step(record))
            right = [start for what, start in said if what == wanted or (not wanted and what)]
            found += any(start < 0 or start == place.start for start in right)
            elsewhere += len(said) > bool(right)
        print(f"{name:26}found {share(found, len(talks))}; other alarms {elsewhere}")


def told(ruling: StepResult) -> list[tuple[str, int]]:
    """What a ruling says, and where; -1 of the whole talk."""
    if ruling.reason:
        return [(ruling.reason, -1)]
    return [(f"cut: {edit.reason}", edit.start) for edit in ruling.edits]


def disclaimers(root: Path, half: str, show: bool) -> None:
    """Marked sentences, each alone as an assistant's turn."""
    marks = {}
    for line in MARKS.read_text(encoding="utf-8").splitlines():
        label, *names = line.split()
        marks |= {} if label == "#" else dict.fromkeys(names, label)
    counts: Counter[tuple[str, bool]] = Counter()
    for name, sentence in sorted(sentences(root).items()):
        if name not in marks or (int(name, 16) % 2 == 1) != (half == "final"):
            continue
        record = spoken([("assistant", sentence)])
        hit = bool(_find_disclaimers(record.text, find_turns(record)[0]))
        counts[marks[name], hit] += 1
        if show and hit != (marks[name] == "y"):
            print("false " if hit else "missed", marks[name], sentence[:140])
    right, hits = counts["y", True], sum(n for (_, hit), n in counts.items() if hit)
    print(f"{counts.total()} sentences: precision {share(right, hits)} "
          f"recall {share(right, right + counts['y', False])}")  # fmt: skip
    for label in "an":
        of = counts[label, True] + counts[label, False]
        print(f"  found of those marked {label}: {share(counts[label, True], of)}")


def sentences(root: Path) -> dict[str, str]:
    """Sentences that may be disclaimers, by their CRC."""
    found = {}
    for model in MODELS:
        for one in json.loads((root / model / "model_outputs.json").read_text(encoding="utf-8")):
            for sentence in map(str.strip, SENTENCE.findall(one["output"])):
                if 20 <= len(sentence) <= 300 and MACHINE.search(sentence) and ME.search(sentence):
                    found[f"{zlib.crc32(sentence.encode()):08x}"] = sentence
    return found


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = {"scores": scores, "order": order}
    parser.add_argument("task", choices=(*tasks, "disclaimers"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=("development", "final"), default="development")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    if given.task == "disclaimers":
        disclaimers(given.folder, given.half, given.show)
    else:
        tasks[given.task](given.folder, given.half)


if __name__ == "__main__":
    main()
