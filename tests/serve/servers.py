"""Real servers with tiny models of random weights, for the tests and benchmarks of this room."""

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import openai
import psutil
import torch

from groundup.core import Config, child, produce
from groundup.embeddings import Vectors, save_vectors
from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer
from groundup.model import save as save_model
from groundup.retrieve import index
from groundup.tokenizer import CHATML_TEMPLATE, FastTokenizer, save_tokenizer

CONTEXT = 4096
START_SECONDS = 170
DOCUMENTS = {
    "tea.md": "# Tea\n\nTea is made of leaves. The pot holds 40 cups of water.\n",
    "über uns/ort.txt": "The office lies in Zürich. Its number is 4711.\n",
    "cups.html": "<h1>Cups</h1><p>A cup holds &frac14; litre.</p>",
}


class Serving(NamedTuple):
    """A server that runs."""

    url: str
    name: str
    path: Path
    """Of the model or the index."""
    process: psutil.Process

    @property
    def engine(self) -> psutil.Process:
        """The process that computes."""
        [engine] = self.process.children()
        return engine

    def client(self, **options) -> openai.OpenAI:
        """The official client."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, **options)


@contextmanager
def serving(
    path: Path | None = None, *words: str, name: str = "tiny", log: Path | None = None
) -> Iterator[Serving]:
    """A server in a process of its own, on a free port, until the block ends."""
    models = [str(path)] if path else []
    command = [*child.python_command("-m", "groundup", "serve", *models, "--port", "0"), *words]
    environment = child.python_environment({"OMP_NUM_THREADS": "1"})
    with tempfile.TemporaryDirectory() as folder:
        log = log or Path(folder) / "log"
        with open(log, "wb") as written:
            process = subprocess.Popen(
                [*command, "--name", name], env=environment, stdout=written, stderr=written
            )
        try:
            url = _address(process, log)
            yield Serving(url, name, path or Path(words[1]), psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(30)


def _address(process: subprocess.Popen, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"answers at (http://\S+)", log.read_text()):
            return found[1]
        time.sleep(0.02)
    raise AssertionError(f"The server does not start: {log.read_text()}")


def write_chat_model(path: Path, context_length: int = CONTEXT) -> Path:
    """A language model with one token a byte and ChatML's special tokens."""
    config = ModelConfig(
        vocab_size=260, width=32, layers=2, context_length=context_length,
        attention=AttentionConfig(heads=4, kv_heads=2, head_dim=8),
        feedforward=FeedForwardConfig(width=48),
    )  # fmt: skip
    model, generator = Transformer(config, seed=0), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    tokenizer = FastTokenizer([])
    save_model(model, path)
    save_tokenizer(tokenizer, path)
    (path / "chat_template.jinja").write_text(CHATML_TEMPLATE, encoding="utf-8")
    ends = [tokenizer.specials["<|im_end|>"], tokenizer.specials["<|endoftext|>"]]
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    return path


def write_index(path: Path) -> Path:
    """An index of three documents, which lie beside it in `documents`."""
    folder = path.parent / "documents"
    for name, text in DOCUMENTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    index(folder, path)
    return path


def write_encoder(path: Path, words: Sequence[str] = ("tea", "cup", "pot", "water")) -> Path:
    """A static encoder of a few words."""
    matrix = torch.randn(len(words), 8, generator=torch.Generator().manual_seed(0)).numpy()
    vectors = Vectors(list(words), matrix)
    produce(
        path, kind="vectors", stage="test", version=1, config=Config(), parents={},
        write=lambda draft: save_vectors(vectors, draft),
    )  # fmt: skip
    return path
