"""The demo's models as transformers sees them: same ids, same logits, same greedy text.

    python -m benchmarks.recipes.demo_check [--run runs/tiny] [--peer PYTHON]

Opens base, chat and int8 of a run with groundup and, in the virtual environment of `make oracles`,
with transformers (int8 through compressed-tensors), all in float32. Exits 1 if a check fails.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("base", "chat", "int8")
TOLERANCE = {"base": 1e-4, "chat": 1e-4, "int8": 1e-3}
"""Largest difference of a float32 logit; int8 weights are multiplied out in another order."""

PROMPTS = (
    "The with statement is used to wrap the execution of a block with methods",
    'def mean(values: list[float]) -> float:\n    """Return the',
    "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n",
    "Return a new list containing all items from the iterable in ascending order.",
    "Naïve façade — “quoted”, 日本語 and 🙂: text that is not ASCII,\n\n\tand a tab",
)
CHATS = (
    (("user", "What does `functools.reduce` do?"),),
    (("user", "Please describe `json.dumps`."),),
    (("system", "Answer from the documents."), ("user", "What do they say about comparisons?")),
    (("user", "Can you explain what `quantum.teleport` does?"),),
    (("user", "What is a tuple?"), ("assistant", "A sequence."), ("user", "And\n\na list?  ")),
)


class Check(NamedTuple):
    """One model beside its twin in transformers."""

    model: str
    ids_equal: int
    """Prompts and conversations whose token ids are the same."""
    asked: int
    """Prompts and conversations together."""
    largest_difference: float
    """Of a float32 logit, over every position of every prompt."""
    tolerance: float
    texts_equal: int
    """Greedy continuations that are the same, of as many as there are `texts`."""
    texts: int
    characters: int
    """Of our greedy texts together."""
    first_difference: str
    """Where the first greedy texts part, empty if none do."""
    passed: bool


def ours(path: Path, tokens: int) -> dict[str, Any]:
    """What groundup makes of a model: ids, logits and greedy texts."""
    import torch

    from groundup.core import Message, Sampling
    from groundup.generate import Engine
    from groundup.model import load
    from groundup.tokenizer import load_tokenizer

    engine = Engine(load(path, dtype=torch.float32), load_tokenizer(path))
    sampling = Sampling(temperature=0.0, max_tokens=tokens)
    chats = [tuple(Message(role, content) for role, content in chat) for chat in CHATS]
    plain = [engine.encode_prompt(prompt) for prompt in PROMPTS]
    with torch.no_grad():
        logits = [engine.model.logits(torch.tensor([ids]))[0] for ids in plain]
    if path.name == "base":
        texts = [engine.continue_text(prompt, sampling).text for prompt in PROMPTS]
    else:
        texts = [made.text for made in engine.generate(chats, sampling)]
    prompts = plain + [engine.prompt_ids(chat) for chat in chats]
    return {"ids": prompts, "logits": logits, "texts": texts}


def peers(path: Path, tokens: int) -> dict[str, Any]:
    """What transformers makes of the same directory, alone with its own files."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    plain = [tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    messages = [[{"role": role, "content": said} for role, said in chat] for chat in CHATS]
    chats = [
        tokenizer.apply_chat_template(each, add_generation_prompt=True, return_dict=True)
        for each in messages
    ]
    prompts = plain + [chat["input_ids"] for chat in chats]
    with torch.no_grad():
        logits = [model(torch.tensor([ids])).logits[0] for ids in plain]
        texts = []
        for ids in plain if path.name == "base" else prompts[len(plain) :]:
            given = torch.tensor([ids])
            made = model.generate(
                given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=tokens
            )
            texts.append(tokenizer.decode(made[0, len(ids) :], skip_special_tokens=True))
    return {"ids": prompts, "logits": logits, "texts": texts}


def peer_worker(run: Path, tokens: int, folder: Path) -> None:
    """Write what transformers finds, a file a model, and the versions that found it."""
    from importlib.metadata import version

    from safetensors.torch import save_file

    for name in MODELS:
        found = peers(run / name, tokens)
        logits = {str(i): each.contiguous() for i, each in enumerate(found.pop("logits"))}
        save_file(logits, folder / f"{name}.safetensors")
        (folder / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
    versions = {name: version(name) for name in ("transformers", "compressed-tensors", "torch")}
    (folder / "versions.json").write_text(json.dumps(versions))


def check(name: str, run: Path, folder: Path, tokens: int) -> Check:
    """Compare one model's two sides."""
    from safetensors.torch import load_file

    mine = ours(run / name, tokens)
    theirs = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    logits = load_file(folder / f"{name}.safetensors")
    equal = sum(a == b for a, b in zip(mine["ids"], theirs["ids"], strict=True))
    largest = max(
        float((each - logits[str(i)]).abs().max()) if each.shape == logits[str(i)].shape
        else float("inf") for i, each in enumerate(mine["logits"])
    )  # fmt: skip
    pairs = list(zip(mine["texts"], theirs["texts"], strict=True))
    parted = next((parting(a, b) for a, b in pairs if a != b), "")
    same = sum(a == b for a, b in pairs)
    length = sum(map(len, mine["texts"]))
    passed = equal == len(mine["ids"]) and largest <= TOLERANCE[name] and same == len(pairs)
    return Check(
        name, equal, len(mine["ids"]), largest, TOLERANCE[name], same, len(pairs), length, parted,
        passed,
    )  # fmt: skip


def parting(a: str, b: str) -> str:
    """Where two texts part.

    >>> parting("a list", "a line")
    "character 4: ours 'st', theirs 'ne'"
    """
    pairs = zip(a, b, strict=False)
    at = next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))
    return f"character {at}: ours {a[at : at + 20]!r}, theirs {b[at : at + 20]!r}"


def report(checks: list[Check], versions: dict[str, str], tokens: int) -> Path:
    """Print the checks and write them to results/demo_check.json; return that path."""
    import datetime

    from rich.console import Console
    from rich.table import Table

    from benchmarks.table import RESULTS, machine_class
    from groundup.core import write_json

    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    table = Table(title=f"groundup beside {named}", title_justify="left")
    for head in ("model", "ids equal", "largest logit difference", "greedy texts equal", "passed"):
        table.add_column(head, justify="left" if head == "model" else "right")
    for c in checks:
        table.add_row(
            c.model, f"{c.ids_equal} of {c.asked}",
            f"{c.largest_difference:.1e} (at most {c.tolerance:.0e})",
            f"{c.texts_equal} of {c.texts} ({c.characters} characters)",
            "yes" if c.passed else "NO",
        )  # fmt: skip
    console = Console(width=max(110, Console().width), highlight=False)
    console.print(table)
    for c in checks:
        if c.first_difference:
            console.print(f"  {c.model}: texts part at {c.first_difference}", markup=False)
    place = RESULTS / "demo_check.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    notes = {
        "machine": machine_class(), "date": datetime.date.today().isoformat(),
        "versions": versions, "tokens of a greedy text": tokens,
    }  # fmt: skip
    checked = [each._asdict() for each in checks]
    write_json(place, {"rows": [], "checks": checked, "notes": notes})
    return place


def main() -> None:
    """Check every model of the run."""
    arguments = parse()
    run = arguments.run.resolve()
    if missing := [name for name in MODELS if not (run / name / "config.json").is_file()]:
        raise SystemExit(f"{arguments.run} has no {', '.join(missing)}; run: make demo")
    if not arguments.peer.is_file():
        raise SystemExit(f"There is no {arguments.peer}; run: make oracles")
    with tempfile.TemporaryDirectory() as folder:
        command = [str(arguments.peer), "-m", "benchmarks.recipes.demo_check", "--worker"]
        command += [str(run), str(arguments.tokens)]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        if subprocess.run([*command, folder], env=environment).returncode:
            raise SystemExit("demo_check.py: transformers could not open the models.")
        versions = json.loads((Path(folder) / "versions.json").read_text())
        checks = [check(name, run, Path(folder), arguments.tokens) for name in MODELS]
    report(checks, versions, arguments.tokens)
    sys.exit(not all(each.passed for each in checks))


def parse() -> argparse.Namespace:
    """Read the flags."""
    peer = ROOT / os.environ.get("ORACLES", ".oracles") / "transformers" / "bin" / "python"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "tiny", help="a recipe's --out")
    parser.add_argument("--peer", type=Path, default=peer, help="Python that has transformers")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of a greedy text")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        peer_worker(Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
