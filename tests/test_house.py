"""The model in models/: whole, small, of known origin, and worth having."""

import json
from pathlib import Path

import pytest
import torch

from groundup.core import Artifact, Sampling
from groundup.core.device import compute_dtype
from groundup.evaluate import bits_per_byte, score_compressor, score_documents
from groundup.generate import Engine
from groundup.model import load
from groundup.tokenizer import document_special_ids, load_tokenizer
from tests.checking import unchecked

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "models" / "house-14m"
FACTS = json.loads(MODEL.with_suffix(".json").read_text())
PAGES = ("reference/kernels/attention", "reference/train/memory")


@pytest.fixture(autouse=True)
def as_users_do():
    with unchecked():
        yield


@pytest.fixture(scope="module")
def house():
    return load(MODEL, compute_dtype()), load_tokenizer(MODEL)


def test_it_is_whole_and_small():
    assert Artifact.open(MODEL, "model").bytes == FACTS["bytes"] <= 20e6


def test_its_lineage_reaches_the_texts():
    known = {each["name"] for each in FACTS["lineage"]}
    assert FACTS["lineage"][0]["id"] == Artifact.open(MODEL).id
    assert all(set(each["parents"]) <= known for each in FACTS["lineage"])
    assert [each["name"] for each in FACTS["lineage"] if not each["parents"]] == ["corpus"]


def test_the_card_says_what_it_was_trained_on_and_is_worth():
    card = MODEL.with_suffix(".md").read_text()
    worth = json.loads((ROOT / "benchmarks" / "results" / "house.json").read_text())
    told = (f"{FACTS['numbers']['tokens'] / 1e6:.1f}M tokens", f"{worth['8 bits']['all']:.3f} bits",
            *(each["id"][:16] for each in FACTS["lineage"]))  # fmt: skip
    assert all(what in card for what in told)


@torch.inference_mode()
def test_it_knows_pages_of_ours_better_than_a_compressor(house):
    model, tokenizer = house
    pages = [(name, (ROOT / "docs" / f"{name}.md").read_text()) for name in PAGES]
    frame = document_special_ids(tokenizer)
    rows = [(name, [*tokenizer.encode(text), *frame.after], len(text.encode()))
            for name, text in pages]  # fmt: skip
    ours = bits_per_byte(score_documents(model, rows, bos=(*frame.before, *frame.after)[0]))
    assert ours.estimate < 0.8 * bits_per_byte(score_compressor(pages)).estimate


def test_it_writes_words(house):
    model, tokenizer = house
    engine, greedy = Engine(model, tokenizer), Sampling(temperature=0.0, max_tokens=24)
    first, again = (engine.continue_text("The function returns", greedy) for _ in range(2))
    assert first.text == again.text and len(first.text.split()) > 5
