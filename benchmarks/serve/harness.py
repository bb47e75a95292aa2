"""lm-eval through this server equals lm-eval's Hugging Face backend on the same weights.

    python -m benchmarks.serve.harness --peer PYTHON [--model runs/tiny/chat]
                                       [--corpus runs/tiny/corpus] [--samples 100]

PYTHON is that of an environment with lm-eval (`make oracles`). Its command runs the tasks of
benchmarks/evaluate/lm_eval.py twice, by `local-completions` against a server of the model and by
`hf` on the model's directory, both in float32, and every item is compared: log-likelihoods within
1e-4, greedy or not, texts. Exits 1 if one differs. Writes benchmarks/results/serve_harness.json.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.evaluate.lm_eval import differences, largest, write_tasks
from benchmarks.table import keep_part
from tests.serve.servers import serving

TASKS = ("choice", "shots", "rolling", "long", "word", "generate")
TOLERANCE = 1e-4


def main() -> int:
    """Run both backends and compare; the exit code."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--peer", type=Path, required=True)
    options.add_argument("--model", type=Path, default=Path("runs/tiny/chat"))
    options.add_argument("--corpus", type=Path, default=Path("runs/tiny/corpus"))
    options.add_argument("--samples", type=int, default=100)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), given.model.resolve()
        write_tasks(given.corpus, folder, given.samples)
        with serving(model, name="tiny") as server:
            context = server.client().models.retrieve("tiny").max_model_len - 1
            served = run(given.peer, folder, "local-completions", {
                "model": "tiny", "base_url": f"{server.url}/v1/completions", "tokenizer": model,
                "tokenizer_backend": "huggingface", "max_length": context + 1, "num_concurrent": 4,
            })  # fmt: skip
        direct = run(given.peer, folder, "hf", {  # windows as long as the other backend makes them
            "pretrained": model, "dtype": "float32", "max_length": context - 1,
        })  # fmt: skip
    found, faults = {}, list[str]()
    for task in TASKS:
        faults += differences(task, served[task], direct[task], TOLERANCE)
        gap = largest(served[task], direct[task])
        found[task] = {"items": len(served[task]), "largest_difference": gap}
        print(f"{task:<10} {len(served[task]):5} items  largest {gap:.1e}")
    print("\n".join(faults[:20]))
    keep_part("serve_harness", given.model.name, {"tasks": found, "differ": len(faults)})
    return int(bool(faults))


def run(peer: Path, folder: Path, backend: str, arguments: dict[str, Any]) -> dict[str, list[Any]]:
    """The answers of one backend by task, in the items' order."""
    out = folder / backend
    words = ["--model", backend, "--batch_size", "8", "--device", "cpu"]
    words += ["--include_path", str(folder), "--output_path", str(out)]
    words += ["--model_args", ",".join(f"{name}={value}" for name, value in arguments.items())]
    words += ["--tasks", ",".join(f"bench_{task}" for task in TASKS), "--log_samples"]
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1", "HF_HOME": f"{folder}/home", "TQDM_DISABLE": "1",
        "OPENAI_API_KEY": "none",
    }  # fmt: skip
    command = [peer, "-m", "lm_eval", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    answers = {}
    for task in TASKS:
        [file] = out.rglob(f"samples_bench_{task}_*.jsonl")
        rows = sorted(map(json.loads, file.read_text().splitlines()), key=lambda row: row["doc_id"])
        answers[task] = [[read_answer(task, one) for one in row["resps"]] for row in rows]
    return answers


def read_answer(task: str, response: Any) -> Any:
    """A text, or a log-likelihood and whether it is greedy; the file has everything as text."""
    while isinstance(response, list) and len(response) == 1:
        [response] = response
    if task == "generate":
        return response
    value, greedy = (response, "False") if isinstance(response, str) else response
    return [float(value), greedy == "True"]


if __name__ == "__main__":
    raise SystemExit(main())
