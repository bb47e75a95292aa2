"""Does `groundup grounding` tell true answers from false ones, and what do added passages change?

    python -m benchmarks.evaluate.grounding claims       about half a minute
    python -m benchmarks.evaluate.grounding noise        six minutes; --folder NAME for one folder

claims: 200 sentences about ten documents, by an author who had not seen the code, half of them made
false (benchmarks/data/claims). Each is an answer whose contexts are all passages of the documents.
A true one is kept if it is faithful, a false one caught if it is not. Beside the rules stand the
largest share of the claim's words that a sentence of the passages has, and the largest similarity
with one, 1 - edits / longer length, by which ragas' measures without a language model compare.

noise: questions of benchmarks/data/ask whose documents are here. A question with one answer has the
passage with its decisive words as context and these words as reference; a near miss has the passage
that BM25 finds first. Each is answered from its context and 0, 2, 4 and 8 of other questions.

Results: results/grounding.json.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import table
from groundup.core import Passage, Reason
from groundup.documents import Record, read_data
from groundup.evaluate import GroundingConfig, score_answers
from groundup.evaluate.grounding.rows import AnswerClaim, ContextPassage, GroundingRow, sentences_of
from groundup.evaluate.grounding.scorers import Critic, faithfulness
from groundup.measure import auroc, extract_words, levenshtein, wilson_interval
from groundup.retrieve import chunk_document, index, open_index

DATA = Path(__file__).resolve().parents[1] / "data"
FOLDERS = ("boathouse", "ferry", "library", "museum", "ordinary", "relations_c", "samphire")
NOISE = (2, 4, 8)
SHOWN = ("correct", "answered", "refused", "faithfulness", "noise_sensitivity", "unchanged")


def main() -> None:
    """Run one part and keep what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("part", choices=["claims", "noise"])
    parser.add_argument("--folder", choices=FOLDERS, help="of noise: this folder alone")
    parser.add_argument("--show", action="store_true", help="of claims: print what is told wrongly")
    arguments = parser.parse_args()
    if arguments.part == "claims":
        table.keep_part("grounding", "claims", claims(show=arguments.show))
        return
    found = noise([arguments.folder] if arguments.folder else FOLDERS)
    if not arguments.folder:
        table.keep_part("grounding", "noise", found)


def claims(*, show: bool = False) -> dict[str, Any]:
    """AUROC of each score, and the rules' true claims kept and false ones caught."""
    lines = (DATA / "claims" / "claims.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    labels = [int(row["true"]) for row in rows]
    given = passages(DATA / "claims" / "documents")
    contexts = tuple(ContextPassage(each.text, each.path) for each in given)
    sentences = [sentence for each in contexts for sentence in sentences_of(each.text)]
    critic, scores = Critic(), dict[str, list[float]]()
    scores["rules"] = [by_rules(row["claim"], contexts, critic) for row in rows]
    for name, score in {"shared words": shared_words, "similarity": similarity}.items():
        scores[name] = [max(score(row["claim"], each) for each in sentences) for row in rows]
    found: dict[str, Any] = {name: round(auroc(each, labels), 3) for name, each in scores.items()}
    print("AUROC: " + ", ".join(f"{name} {area:.3f}" for name, area in found.items()))
    for name, label in (("true kept", 1), ("false caught", 0)):
        right = [
            s == label for s, each in zip(scores["rules"], labels, strict=True) if each == label
        ]
        bounds = wilson_interval(sum(right), len(right))
        print(f"{name}: {sum(right)} of {len(right)} [{bounds.low:.2f}, {bounds.high:.2f}]")
        found[name] = [sum(right), len(right)]
    for row, score, label in zip(rows, scores["rules"], labels, strict=True):
        if show and score != label:
            print(f"{row['kind']}: {row['claim']}")
    return found


def passages(folder: Path) -> list[Passage]:
    """The passages of a folder's documents."""
    return [
        passage
        for path in sorted(path for path in folder.rglob("*") if path.is_file())
        for document in read_data(path.relative_to(folder).as_posix(), path.read_bytes())
        if isinstance(document, Record)
        for passage in chunk_document(document)
    ]


def by_rules(claim: str, contexts: tuple[ContextPassage, ...], critic: Critic) -> float:
    """Faithfulness of an answer of one sentence."""
    row = GroundingRow("1", "?", claim, False, (AnswerClaim(claim),), contexts)
    score = faithfulness(row, critic)
    assert not isinstance(score, Reason)
    return score


def shared_words(claim: str, sentence: str) -> float:
    """Share of a claim's distinct words that a sentence has."""
    words = set(extract_words(claim.lower()))
    return len(words & set(extract_words(sentence.lower()))) / max(1, len(words))


def similarity(claim: str, sentence: str) -> float:
    """ragas' NonLLMStringSimilarity: 1 - Levenshtein distance / length of the longer text."""
    return 1 - levenshtein(claim, sentence) / max(len(claim), len(sentence), 1)


def noise(folders: Sequence[str]) -> dict[str, Any]:
    """The measures of answers by quotes, by number of irrelevant passages."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for name in folders for row in questions(name)]
        path = Path(folder) / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        report = score_answers(path, Path(folder) / "r", GroundingConfig(), noise=NOISE).report
    for count in (0, *NOISE):
        measures = {each.name: each for each in report.task(f"noise-{count}").measures}
        results = {name: measures[name].result for name in SHOWN if name in measures}
        shown = ", ".join(f"{name} {result}" for name, result in results.items())
        print(f"{count} added, {len(rows)} questions: {shown}")
        found[str(count)] = {
            name: None if isinstance(result, Reason) else [round(each, 3) for each in result[:3]]
            for name, result in results.items()
        }
    return {"questions": len(rows), "added": found}


def questions(name: str) -> list[dict[str, Any]]:
    """Rows of a folder: question, one context, and the decisive words or that there is none."""
    documents, rows = DATA / "ask" / name / "documents", []
    lines = (documents.parent / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    given = passages(documents)
    with tempfile.TemporaryDirectory() as out:
        index(documents, Path(out) / "index")
        opened = open_index(Path(out) / "index")
        for number, question in enumerate(map(json.loads, lines)):
            row = {"id": f"{name}-{number}", "question": question["question"], "answer": "-"}
            holding, label = [], {}
            if question["class"] == "near":
                hits = opened.lexical.search_terms(opened.parse(question["question"]), 1)
                holding, label = [hit.passage for hit in hits], {"unanswerable": True}
            elif answers := question.get("answers"):
                holding = [passage for passage in given if holds(passage, answers[0])]
                label = {"reference": " ".join(answers[0]["must"])}
            for passage in holding[:1]:
                context = {"text": passage.text, "source": passage.path}
                label |= {"relevant": [passage.path]} if "reference" in label else {}
                rows.append(row | label | {"contexts": [context], "document": passage.path})
    return rows


def holds(passage: Passage, answer: Mapping[str, Any]) -> bool:
    """Whether a passage has the decisive words of an answer, and is of its file."""
    text = " ".join(passage.text.casefold().split())
    is_there = all(" ".join(words.casefold().split()) in text for words in answer["must"])
    return is_there and answer.get("path") in (None, passage.path.split("#")[0])


if __name__ == "__main__":
    main()
