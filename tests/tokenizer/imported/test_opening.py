"""opening.py: any tokenizer by its path, and errors that say what was expected."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from groundup.core import ArtifactError, DataError
from groundup.tokenizer import (
    FastTokenizer,
    ImportedTokenizer,
    load_tokenizer,
    save_imported,
    save_tokenizer,
)
from tests.tokenizer.imported.fixtures import MODELS, ROOT, lines, model_bytes, small


def test_ours_stay_ours(tmp_path: Path):
    ours = FastTokenizer([(b"a", b"b")])
    save_tokenizer(ours, tmp_path)
    for path in (tmp_path, str(tmp_path), tmp_path / "tokenizer.json"):
        found = load_tokenizer(path)
        assert isinstance(found, FastTokenizer) and found.digest == ours.digest


def test_ours_with_a_step_more_has_other_ids_and_is_somebody_elses(tmp_path: Path):
    save_tokenizer(FastTokenizer([]), tmp_path)
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"normalizer": {"type": "NFC"}}))
    found = load_tokenizer(tmp_path)
    assert isinstance(found, ImportedTokenizer) and found.loss_reason.code == "normalised"
    assert found.decode(found.encode("e\u0301")) == "é"


@pytest.mark.parametrize("file", ["words", "words/tokenizer.json", "words/vocab.txt"])
def test_a_directory_or_its_files(file):
    assert load_tokenizer(ROOT / file).encode("self def") == small("words").encode("self def")


def test_files_are_found_in_order(tmp_path: Path):
    (tmp_path / "spiece.model").write_bytes(model_bytes("t5"))
    shutil.copy(ROOT / "words" / "vocab.txt", tmp_path)
    assert load_tokenizer(tmp_path).digest == small("t5").digest
    shutil.copy(ROOT / "pairs" / "tokenizer.json", tmp_path)
    assert load_tokenizer(tmp_path).encode("def") == small("pairs").encode("def")
    only = tmp_path / "only"
    shutil.copytree(ROOT / "pairs", only)
    (only / "tokenizer.json").unlink()
    assert load_tokenizer(only).encode("def") == small("pairs").encode("def")


def test_settings_and_template_lie_beside(tmp_path: Path):
    shutil.copytree(ROOT / "pairs", tmp_path / "x")
    (tmp_path / "x" / "special_tokens_map.json").write_text('{"pad_token": "<think>"}')
    (tmp_path / "x" / "chat_template.json").write_text('{"chat_template": "older"}')
    found = load_tokenizer(tmp_path / "x")
    assert found.settings["chat_template"] == "older" and "<think>" in found.specials
    (tmp_path / "x" / "chat_template.jinja").write_text("newer")
    assert load_tokenizer(tmp_path / "x").settings["chat_template"] == "newer"


@pytest.mark.parametrize("name", [*MODELS, "words", "pairs"])
def test_what_is_written_comes_back(tmp_path: Path, name):
    ours = small(name)
    ours.settings["chat_template"] = "{{ bos_token }}"
    for _ in range(2):
        save_imported(ours, tmp_path)
    del ours.settings["chat_template"]
    again = load_tokenizer(tmp_path)
    assert again.digest == ours.digest and again.frame == ours.frame
    assert again.encode_batch(lines()) == ours.encode_batch(lines())
    assert again.settings["chat_template"] == "{{ bos_token }}"
    (tmp_path / "pieces.json").write_text('{"pieces": [["a"]]}')
    with pytest.raises(ArtifactError, match="tokenizer.json"):
        load_tokenizer(tmp_path)


def test_nothing_there_is_an_error_that_says_what_was_expected(tmp_path: Path):
    with pytest.raises(ArtifactError, match="has no tokenizer; expected tokenizer.json, tekken"):
        load_tokenizer(tmp_path)
    with pytest.raises(ArtifactError, match="has no tokenizer"):
        load_tokenizer(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe.model")
    with pytest.raises(ArtifactError, match="has no tokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(ArtifactError, match="no tokenizer file; expected tokenizer.json"):
        load_tokenizer(tmp_path / "weights.bin")


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "[" * 100_000, '{"model": 1}', "{}"])
def test_a_damaged_file_is_an_error(tmp_path: Path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ArtifactError, match="tokenizer.json"):
        load_tokenizer(tmp_path)


def test_mutations_end_in_an_error_or_a_tokenizer(tmp_path: Path):
    pick, file = random.Random(0), tmp_path / "tokenizer.json"
    whole, outcomes = (ROOT / "words" / "tokenizer.json").read_bytes(), set()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(pick.randint(1, 3)):
            data[pick.randrange(len(data))] = pick.choice(b'"{}[],:019aZ\\')
        file.write_bytes(data)
        try:
            load_tokenizer(file).encode("some text")
            outcomes.add("tokenizer")
        except (ArtifactError, DataError) as error:
            outcomes.add(type(error).__name__)
    assert outcomes == {"tokenizer", "ArtifactError"}
