"""False alarms of short test questions: how many of 200 everyday ones stand in ordinary pages.

    python -m benchmarks.corpus.short_questions FOLDER [--show 20]

FOLDER has Parquet files with a column `text`. The questions have four to seven words and were
written down before any page was looked at. A hit is no error by itself: the page does ask it.
What the number says is how many pages a test set of such questions would cost.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

from groundup.corpus.decontaminate.testsets import TestSets, TestSetsConfig
from groundup.documents import Record, SourceMap
from groundup.measure import wilson_interval

PATTERNS = {
    "What is the capital of {}?": "France Japan Canada Brazil Egypt Norway Peru Kenya India Spain",
    "Who was the first president of {}?": "France Brazil Mexico Finland Turkey Ghana Chile Poland",
    "How many people live in {}?": "London Tokyo Paris Berlin Texas Canada Australia Iceland",
    "What is the meaning of {}?": "life democracy inflation evolution irony karma freedom love",
    "How do I reset my {}?": "password phone router computer printer account tablet watch",
    "Who wrote the novel {}?": "Emma Dracula Ulysses Frankenstein Middlemarch Beloved Dune Rebecca",
    "When was the {} invented?": "telephone wheel bicycle telescope camera radio compass piano",
    "How does a {} work?": "battery computer refrigerator transformer laser telescope bank vaccine",
    "What is the difference between {}?": "them these both|bits and bytes|cats and dogs",
    "How long does it take to {}?": "learn heal ship arrive recover",
    "What are the benefits of {}?": "exercise yoga meditation sleep reading walking fasting tea",
    "What are the symptoms of {}?": "flu asthma diabetes depression measles gout COVID-19 mumps",
    "How much does a {} cost?": "house car wedding website passport dog visa piano",
    "Where can I buy {}?": "tickets stamps books coffee one it this flowers",
    "Why is the sky so {}?": "blue dark red bright",
    "Is it safe to {}?": "travel swim fly eat drink",
    "What do you think of {}?": "this it him her them that us",
    "How can I improve my {}?": "English writing memory sleep grammar score pronunciation",
    "What is the square root of {}?": "nine sixteen two 144 81",
    "Which planet is closest to {}?": "Earth Mars us Jupiter Neptune",
    "What is the boiling point of {}?": "water mercury ethanol iron nitrogen",
    "Can you tell me more {}?": "please now today",
    "What is your favorite {}?": "color food movie book song season animal place",
    "Do you have any {}?": "questions pets children siblings suggestions ideas advice",
}
SINGLE = (
    "How are you doing today?|What time is it now?|Where do you come from?|What is your name?|"
    "How old are you now?|What is going on here?|Why did this happen?|What should I do next?|"
    "How does it all work?|What is this all about?|Who are you talking to?|What happens if I die?|"
    "Are you ready to begin?|What does this mean?|How can I help you?|What do you want?|"
    "Why does it matter?|Who is it for?|What are you waiting for?|What is it like?|"
    "Is there life on Mars?|Who painted the Mona Lisa?|Who discovered penicillin in 1928?|"
    "Do I need a visa?|What can I do about it?|How did you find us?|How do I get started?|"
    "What do you do for fun?|How was your day today?|Who do you think you are?|"
    "Where are you from originally?|What makes you so happy?|What is love all about?|"
    "What are the side effects?|How much does it cost?|How does it work?"
)


def questions() -> list[str]:
    """The 200."""
    made = [
        pattern.format(word)
        for pattern, words in PATTERNS.items()
        for word in [*words.split("|")[0].split(), *words.split("|")[1:]]
    ]
    return [*SINGLE.split("|"), *made][:200]


def main() -> None:
    """Print pages with a hit, and which questions were hit how often."""
    import pyarrow.parquet as parquet

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--show", type=int, default=20)
    arguments = parser.parse_args()
    asked = questions()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "short.jsonl"
        lines = (json.dumps({"id": text, "question": text}) for text in asked)
        path.write_text("\n".join(lines) + "\n")
        step = TestSets(TestSetsConfig(testsets=(path,), index=scratch))
        pages, hit, begun = 0, Counter[str](), time.perf_counter()
        hit_pages = characters = 0
        for file in sorted(arguments.folder.rglob("*.parquet")):
            for text in parquet.read_table(file, columns=["text"])["text"].to_pylist():
                pages, characters = pages + 1, characters + len(text)
                record = Record("0" * 32, "s", "p", "text", text, SourceMap.identity(text))
                found = step(record)
                hit_pages += bool(found.reason)
                hit.update(found.details.partition(": ")[2].split(", ") if found.reason else ())
    seconds = time.perf_counter() - begun
    low, high = wilson_interval(hit_pages, pages)[1:3]
    print(f"{len(asked)} questions, {pages} pages, {characters / 1e6:.1f} million characters")
    print(f"{pages / seconds:.0f} pages a second")
    print(f"pages with a hit: {hit_pages}, {hit_pages / pages:.3%} [{low:.3%}, {high:.3%}]")
    print(f"questions hit: {len(hit)}")
    for text, count in hit.most_common(arguments.show):
        print(f"{count:6} {text}")


if __name__ == "__main__":
    main()
