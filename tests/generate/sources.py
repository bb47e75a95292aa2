"""Tiny encoder–decoders for this room: a real one of bytes, and Transformers' own with results."""

import torch

from groundup.generate import Engine
from groundup.tokenizer import FastTokenizer
from tests.model.families.encoder_decoders import Peer, names
from tests.model.shapes import ENCODER_DECODERS, tiny_model

FAMILIES = ("t5", "bart", "switch_transformers")
PEERS = [(family, name) for family in FAMILIES for name in names(family) if "ours" not in name]
START, VOCAB, LIMIT = 2, 31, 12
ENDS = (1, 7, 13, 19, 25)
SOURCES = ["a", "Was ist é?", "longer than the others", "b", "?!"]


def tiny_reader(kind: str = "t5") -> Engine:
    """An encoder–decoder in float64 whose every weight counts, with a tokenizer of bytes."""
    torch.manual_seed(3)
    return Engine(tiny_model(ENCODER_DECODERS[kind].model_copy(update={"vocab_size": 260})),
                  FastTokenizer([]))  # fmt: skip


def sources_of(peer: Peer) -> list[list[int]]:
    """A fixture's sources without their padding."""
    ids, mask = peer.expected["source"], peer.expected["source_mask"]
    return [row[real > 0].tolist() for row, real in zip(ids, mask, strict=True)]


def until_end(ids: list[int]) -> list[int]:
    """Theirs without the start token and the padding after the first end."""
    written = ids[1:]
    place = next((i for i, id in enumerate(written) if id in ENDS), len(written))
    return written[: place + 1]
