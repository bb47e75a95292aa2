"""safety.toxicity on public texts that people labelled.

    python -m benchmarks.corpus.harm SETS --half development|final [--show]
    python -m benchmarks.corpus.harm SETS --clean PAGES MAILS      false alarms on manuals and mails
    python -m benchmarks.corpus.harm SETS --classifier  trained on one half, asked of the other

SETS holds four clones of github.com. t-davidson/hate-speech-and-offensive-language (cb50f7e, MIT):
24,783 tweets that hold a word of Hatebase's list, offensive or hateful against neither;
uds-lsv/GermEval-2018-Data (9877472, CC BY 4.0): 8,541 German tweets, OFFENSE against OTHER;
paul-rottger/hatecheck-data (d843022, CC BY 4.0) and rewire-online/multilingual-hatecheck (a03f2ca,
CC BY 4.0): cases written to be hard, hateful against not, which no word decides. A text belongs to
the half that its CRC says; words were added to the lexicon after a look at development halves.
"""

import argparse
import csv
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from groundup.corpus.safety.toxicity import _default_lexicon, _score_toxicity
from groundup.measure import wilson_interval

LANGUAGES = ("dutch", "french", "german", "italian", "polish", "portuguese", "spanish")
LIMITS = (0, 5, 10, 20)
"""Scores of toxicity above which a text counts as found."""
Text = tuple[str, bool]
Sets = dict[str, list[Text]]


def half_of(text: str) -> str:
    """Which half a text belongs to."""
    return "final" if zlib.crc32(text.encode()) % 2 else "development"


def labelled(root: Path) -> Sets:
    """All texts with their labels, by set."""
    sets: Sets = defaultdict(list)
    with (root / "hate-speech-and-offensive-language/data/labeled_data.csv").open() as file:
        sets["tweets, English"] = [(r["tweet"], r["class"] != "2") for r in csv.DictReader(file)]
    for name in ("training", "test"):
        path = root / f"GermEval-2018-Data/germeval2018.{name}.txt"
        rows = (line.split("\t") for line in path.read_text("utf-8").splitlines() if line)
        sets["tweets, German"] += [(row[0], row[1] == "OFFENSE") for row in rows]
    cases = {"English": root / "hatecheck-data/test_suite_cases.csv"} | {
        language.title(): root
        / f"multilingual-hatecheck/MHC Final Cases/hatecheck_cases_final_{language}.csv"
        for language in LANGUAGES
    }
    for language, path in cases.items():
        with path.open(encoding="utf-8") as file:
            sets[f"HateCheck, {language}"] = [
                (row["test_case"], row["label_gold"] == "hateful") for row in csv.DictReader(file)
            ]
    return sets


def judged(texts: list[Text], is_found: Callable[[str], bool]) -> str:
    """Precision, recall, F1 and false alarms."""
    tally = Counter((is_bad, is_found(text)) for text, is_bad in texts)
    right, false, missed = tally[True, True], tally[False, True], tally[True, False]
    shares = (wilson_interval(right, max(right + false, 1)), wilson_interval(right, right + missed),
              wilson_interval(false, false + tally[False, False]))  # fmt: skip
    told = [f"{one.estimate:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in shares]
    f1 = 2 * right / max(2 * right + false + missed, 1)
    return f"precision {told[0]} recall {told[1]} F1 {f1:.3f} false alarms {told[2]}"


def lists(sets: Sets, half: str, show: bool) -> None:
    """The word list on every set."""
    lexicon = _default_lexicon()
    for name, texts in sets.items():
        texts = [one for one in texts if half_of(one[0]) == half]
        print(f"{name}: {len(texts)} texts, {sum(bad for _, bad in texts)} of them bad")
        scores = {text: _score_toxicity(text, lexicon)[0] for text, _ in texts}
        for limit in LIMITS:
            found = {text for text, score in scores.items() if score > limit}
            print(f"  toxicity above {limit:2d}: {judged(texts, found.__contains__)}")
        for text, _ in [one for one in texts if not one[1] and scores[one[0]]][: 20 * show]:
            print(f"    false alarm: {text[:140]!r}")


def clean(pages: Path, mails_of: Path) -> None:
    """Texts in which the list finds something."""
    from benchmarks.documents.web_labels import MANUALS, mails
    from benchmarks.documents.web_rules import texts

    lexicon = _default_lexicon()
    sets: dict[str, list[str]] = {"manuals": texts(pages, MANUALS)}
    for label, text in mails(mails_of):
        sets.setdefault(label, []).append(text)
    for name, found in sets.items():
        scores = [_score_toxicity(text, lexicon) for text in found]
        above = {limit: sum(score > limit for score, _ in scores) for limit in (0, 1, *LIMITS[1:])}
        print(f"{name:10}{len(found):6d} texts; toxicity above {above}")
        seen = Counter(key for _, hits in scores for key in hits)
        print(f"{'':10}{dict(seen)}")


def classifier(sets: Sets) -> None:
    """The trained judge: each set's development half trains, its final half is asked."""
    import numpy as np

    from groundup.corpus.quality.training import (
        ClassifierTrainingConfig,
        LabelledText,
        _auc,
        _train_classifier,
    )

    for name in ("tweets, English", "tweets, German"):
        halves: dict[str, list[Text]] = {"development": [], "final": []}
        for one in sets[name]:
            halves[half_of(one[0])].append(one)
        trained, _ = _train_classifier(
            [
                LabelledText(text, bad, str(at))
                for at, (text, bad) in enumerate(halves["development"])
            ],
            ClassifierTrainingConfig(),
        )
        asked = halves["final"]
        scores = trained.predict_texts([text for text, _ in asked])
        area = _auc(scores, np.array([bad for _, bad in asked]))
        told = f"{area['estimate']:.4f} [{area['low']:.4f}, {area['high']:.4f}]"
        print(f"{name}: {len(asked)} texts, AUC {told}")
        by_text = {text: score for (text, _), score in zip(asked, scores, strict=True)}
        for limit in (0.5, 0.9):
            found = {text for text, score in by_text.items() if score > limit}
            told = judged(asked, found.__contains__)
            print(f"  above {limit}: {told}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--half", choices=("development", "final"), default="development")
    parser.add_argument("--clean", type=Path, nargs=2, metavar=("PAGES", "MAILS"))
    parser.add_argument("--classifier", action="store_true")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    if given.clean:
        clean(*given.clean)
    elif given.classifier:
        classifier(labelled(given.sets))
    else:
        lists(labelled(given.sets), given.half, given.show)


if __name__ == "__main__":
    sys.exit(main())
