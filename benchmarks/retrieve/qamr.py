"""QAMR (Michael et al. 2018, arXiv:1711.05885) as a file of questions in SQuAD's format.

    git clone https://github.com/uwnlp/qamr
    python -m benchmarks.retrieve.qamr qamr/data qamr.json

Kept are questions whose three annotators agree on some word and whose answer is one run of words of
a Wikipedia or Wikinews sentence.
"""

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path

SIGNS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "``": '"', "''": '"'}
CLOSES = re.compile(r"[,.;:?!%)\]]|n't|'[a-z]*")
SPLITS = ("dev", "test", "train")
MIN_WORDS = 4


def joined(tokens: list[str]) -> tuple[str, list[tuple[int, int]]]:
    """Tokens as a text, and the place of each.

    >>> joined(["He", "-LRB-", "Bob", "-RRB-", "sleeps", "."])[0]
    'He (Bob) sleeps.'
    """
    text, places = "", []
    for token in (SIGNS.get(each, each) for each in tokens):
        if text and not CLOSES.fullmatch(token) and text[-1] not in "([":
            text += " "
        places.append((len(text), len(text) + len(token)))
        text += token
    return text, places


def main() -> None:
    """Write the questions, one article for each of QAMR's documents."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="QAMR's data")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    lines = (arguments.folder / "wiki-sentences.tsv").read_text(encoding="utf-8").splitlines()
    sentences = {name: text.split(" ") for name, text in (line.split("\t")[:2] for line in lines)}
    asked = defaultdict[str, dict[str, tuple[int, int]]](dict)
    for path in (arguments.folder / "filtered" / f"{split}.tsv" for split in SPLITS):
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            name, _, _, _, _, question, *answers = line.split("\t")
            words = [set(map(int, each.rpartition(":")[2].split())) for each in answers]
            first, last = min(words[0]), max(words[0])
            agreed = all(words[0] & other for other in words[1:])
            is_run = last - first + 1 == len(words[0])
            if name in sentences and agreed and is_run and len(question.split()) >= MIN_WORDS:
                asked[name][f"{question.strip().rstrip('?')}?"] = (first, last)
    articles = defaultdict[str, list[object]](list)
    for name, questions in asked.items():
        text, places = joined(sentences[name])
        found = [
            {"question": question, "is_impossible": False, "answers": [{
                "answer_start": places[first][0], "text": text[places[first][0] : places[last][1]],
            }]}
            for question, (first, last) in questions.items()
        ]  # fmt: skip
        articles[name.rsplit(":", 2)[0]].append({"context": text, "qas": found})
    data = [{"title": "", "paragraphs": paragraphs} for paragraphs in articles.values()]
    arguments.out.write_text(json.dumps({"version": "QAMR", "data": data}), encoding="utf-8")
    print(f"{sum(map(len, asked.values()))} questions of {len(data)} documents")


if __name__ == "__main__":
    main()
