"""A graph reads from left to right, no box covers another, no edge runs behind a box."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import DataError
from groundup.core.page import LineageNode, lineage_graph
from groundup.core.page.lineage import (
    ROW_GAP,
    _assign_layers,
    _box_width,
    _node_depths,
    _position_slots,
)
from tests.core.page.reading import Reading


def node(name: str, *parents: str, is_rejected: bool = False) -> LineageNode:
    return LineageNode(
        name, "model", "1.0 MB", "abcdef0123456789", parents, is_rejected, f"#a-{name}"
    )


@st.composite
def graphs(draw) -> list[LineageNode]:
    """Nodes whose parents come before them."""
    count = draw(st.integers(1, 9))
    nodes: list[LineageNode] = []
    for index in range(count):
        known = [one.name for one in nodes]
        parents = draw(st.lists(st.sampled_from(known), unique=True)) if known else []
        nodes.append(node(f"n{index}", *parents))
    return draw(st.permutations(nodes))


@given(graphs())
def test_parents_lie_to_the_left_and_nothing_overlaps(nodes):
    layers, edges = _assign_layers(nodes)
    places = _position_slots(layers, edges, _box_width(nodes))
    for one in nodes:
        for parent in one.parents:
            assert places[(parent,)].x + _box_width(nodes) < places[(one.name,)].x
    columns: dict[float, list] = {}
    for place in places.values():
        columns.setdefault(place.x, []).append(place)
    for column in columns.values():
        column.sort(key=lambda place: place.y)
        for above, below in zip(column, column[1:], strict=False):
            assert below.y - above.y - above.height >= ROW_GAP - 1e-6


@given(graphs())
def test_every_edge_steps_one_column_at_a_time(nodes):
    layers, edges = _assign_layers(nodes)
    column = {slot: index for index, layer in enumerate(layers) for slot in layer}
    assert len(edges) == sum(len(one.parents) for one in nodes)
    for way in edges:
        assert [column[b] - column[a] for a, b in zip(way, way[1:], strict=False)] == (
            [1] * (len(way) - 1)
        )


def test_depth_is_the_longest_way():
    nodes = [node("c", "a", "b"), node("b", "a"), node("a")]
    assert _node_depths(nodes) == {"a": 0, "b": 1, "c": 2}


def test_boxes_say_name_kind_size_and_short_id_and_link_to_more():
    read = Reading(lineage_graph([node("base"), node("int8", "base", is_rejected=True)]))
    for words in ("base", "model", "1.0 MB", "abcdef01", "model · rejected"):
        assert words in read.texts
    assert read.count("a", "rejected") == 1
    assert read.values("href") == ["#a-base", "#a-int8"]


def test_screen_readers_get_the_graph_in_words():
    text = Reading(lineage_graph([node("base"), node("int8", "base", is_rejected=True)])).text
    assert "base (model) is a source. int8 (model) is made from base and was rejected" in text


def test_long_names_are_cut_in_the_box_and_whole_in_its_title():
    name = "a-very-long-name-of-an-artifact"
    drawn = lineage_graph([node(name)])
    assert f"{name[:19]}…" in drawn and f"<title>{name}: " in drawn


def test_the_drawing_holds_all_boxes():
    drawn = lineage_graph([node("a"), node("b", "a"), node("c", "a")])
    width, height = map(float, re.search(r'viewBox="0 0 (\d+) (\d+)"', drawn).groups())
    boxes = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', drawn)
    assert len(boxes) == 3
    for x, y, w, h in boxes:
        assert float(x) + float(w) <= width and float(y) + float(h) <= height


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([node("a"), node("a")], "Two artifacts are named 'a'"),
        ([node("a", "z")], "a names the parent 'z'"),
        ([node("a", "b"), node("b", "a")], "descend from themselves"),
    ],
)
def test_graphs_that_cannot_be(nodes, words):
    with pytest.raises(DataError, match=words):
        lineage_graph(nodes)


def test_nothing_made_is_a_sentence():
    assert Reading(lineage_graph([])).text == "Nothing was made yet."
