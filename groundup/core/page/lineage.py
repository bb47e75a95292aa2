"""A lineage graph, left to right, drawn as SVG.

Layered layout: a node's layer is the longest path from a source; an edge over several layers passes
through empty slots, so it never runs behind a box; slots are ordered by the mean height of their
neighbours. Source: Sugiyama, Tagawa, Toda 1981, without crossing counts, which small graphs do not
need.
"""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from ..errors import DataError
from .html import Html, element, join_html
from .parts import screen_reader_text, scroll_box

BOX_HEIGHT, SLOT_HEIGHT, ROW_GAP, COLUMN_GAP, EDGE = 80.0, 10.0, 16.0, 36.0, 2.0
CHARACTER_WIDTH, SMALL_CHARACTER_WIDTH, MIN_BOX_WIDTH, MAX_NAME_CHARACTERS = 8.6, 7.0, 112.0, 20
SWEEPS = 4
MIN_SCALE = 0.85
"""Smallest scale before the graph scrolls instead of shrinking further."""


class LineageNode(NamedTuple):
    """A box of the graph."""

    name: str
    kind: str
    size: str
    id: str
    parents: tuple[str, ...] = ()
    is_rejected: bool = False
    href: str = ""
    """Anchor of the row with details, with its `#`."""


class SlotPosition(NamedTuple):
    """Upper left corner and height of a box or slot, pixels."""

    x: float
    y: float
    height: float


Slot = tuple[str, ...]
"""(name,) is the box itself; (parent, child, layer) is a slot that an edge passes through."""


def lineage_graph(nodes: Sequence[LineageNode], label: str = "Lineage") -> Html:
    """Draw the graph; it scrolls within its card if it is wider.

    Raises DataError if a name occurs twice, a parent is unknown, or there is a cycle.
    """
    if not nodes:
        return element("p.empty", "Nothing was made yet.")
    layers, edges = _assign_layers(nodes)
    width = _box_width(nodes)
    layout = _position_slots(layers, edges, width)
    boxes = [_draw_box(node, layout[(node.name,)], width) for node in nodes]
    lines = [_edge_path(edge, layout, width) for edge in edges]
    right = max(rect.x for rect in layout.values()) + width + EDGE
    bottom = max(rect.y + rect.height for rect in layout.values()) + EDGE
    size = {
        "viewBox": f"0 0 {right:.0f} {bottom:.0f}",
        "style": f"max-width:{right:.0f}px;min-width:{right * MIN_SCALE:.0f}px",
        "role": "group",
        "aria-label": label,
    }
    drawing = element("svg.lineage", *lines, *boxes, attributes=size)
    return join_html([screen_reader_text(_graph_as_text(nodes)), scroll_box(drawing, label)])


def _assign_layers(nodes: Sequence[LineageNode]) -> tuple[list[list[Slot]], list[list[Slot]]]:
    """Assign nodes to layers; return the layers' slots and each edge as a list of slots."""
    depth = _node_depths(nodes)
    layers: list[list[Slot]] = [[] for _ in range(max(depth.values()) + 1)]
    edges: list[list[Slot]] = []
    for node in nodes:
        layers[depth[node.name]].append((node.name,))
    for node in nodes:
        for parent in node.parents:
            between = range(depth[parent] + 1, depth[node.name])
            slots: list[Slot] = [(parent, node.name, str(layer)) for layer in between]
            for layer, slot in zip(between, slots, strict=True):
                layers[layer].append(slot)
            edges.append([(parent,), *slots, (node.name,)])
    return layers, edges


def _node_depths(nodes: Sequence[LineageNode]) -> dict[str, int]:
    known = {node.name: node for node in nodes}
    if len(known) != len(nodes):
        names = [node.name for node in nodes]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"Two artifacts are named {twice!r}; give each a name of its own.")
    for node in nodes:
        for parent in node.parents:
            if parent not in known:
                raise DataError(f"{node.name} names the parent {parent!r}, which is not listed.")
    try:
        order = list(TopologicalSorter({n.name: n.parents for n in nodes}).static_order())
    except CycleError as error:
        cycle = " → ".join(error.args[1])
        raise DataError(f"Artifacts descend from themselves: {cycle}.") from None
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = max((depth[parent] + 1 for parent in known[name].parents), default=0)
    return depth


def _position_slots(
    layers: Sequence[list[Slot]], edges: Sequence[list[Slot]], width: float
) -> dict[Slot, SlotPosition]:
    """Order every layer by its neighbours' mean heights, then stack it around the middle line."""
    before: dict[Slot, list[Slot]] = {}
    after: dict[Slot, list[Slot]] = {}
    for edge in edges:
        for source, target in zip(edge, edge[1:], strict=False):
            after.setdefault(source, []).append(target)
            before.setdefault(target, []).append(source)
    layout = _stack_layers(layers, width)
    for sweep in range(SWEEPS):
        neighbours = before if sweep % 2 == 0 else after
        layers = [
            sorted(layer, key=lambda s: _mean_height(s, neighbours, layout)) for layer in layers
        ]
        layout = _stack_layers(layers, width)
    return layout


def _mean_height(
    slot: Slot, neighbours: Mapping[Slot, Sequence[Slot]], layout: Mapping[Slot, SlotPosition]
) -> float:
    """Mean of the neighbours' middles; a slot without neighbours keeps its own."""
    others = neighbours.get(slot) or [slot]
    return sum(layout[o].y + layout[o].height / 2 for o in others) / len(others)


def _stack_layers(layers: Sequence[Sequence[Slot]], width: float) -> dict[Slot, SlotPosition]:
    heights = [sum(_slot_height(s) + ROW_GAP for s in layer) - ROW_GAP for layer in layers]
    layout: dict[Slot, SlotPosition] = {}
    for index, layer in enumerate(layers):
        y = EDGE + (max(heights) - heights[index]) / 2
        for slot in layer:
            layout[slot] = SlotPosition(EDGE + index * (width + COLUMN_GAP), y, _slot_height(slot))
            y += _slot_height(slot) + ROW_GAP
    return layout


def _slot_height(slot: Slot) -> float:
    return BOX_HEIGHT if len(slot) == 1 else SLOT_HEIGHT


def _box_width(nodes: Sequence[LineageNode]) -> float:
    names = max(len(_truncate_name(node.name)) for node in nodes)
    kinds = max(len(_kind_line(node)) for node in nodes)
    return max(MIN_BOX_WIDTH, 24 + CHARACTER_WIDTH * names, 24 + SMALL_CHARACTER_WIDTH * kinds)


def _kind_line(node: LineageNode) -> str:
    return f"{node.kind} · rejected" if node.is_rejected else node.kind


def _truncate_name(text: str) -> str:
    return text if len(text) <= MAX_NAME_CHARACTERS else text[: MAX_NAME_CHARACTERS - 1] + "…"


def _edge_path(edge: Sequence[Slot], layout: Mapping[Slot, SlotPosition], width: float) -> Html:
    """A smooth line from the right of the parent to the left of the child."""
    start = layout[edge[0]]
    commands = [f"M{start.x + width:.1f} {start.y + start.height / 2:.1f}"]
    x, y = start.x + width, start.y + start.height / 2
    for slot in edge[1:]:
        rect = layout[slot]
        middle, to = rect.y + rect.height / 2, rect.x
        bend = (x + to) / 2
        commands.append(f"C{bend:.1f} {y:.1f} {bend:.1f} {middle:.1f} {to:.1f} {middle:.1f}")
        x, y = to, middle
        if len(slot) > 1:
            x = to + width
            commands.append(f"H{x:.1f}")
    return element("path.edge", attributes={"d": "".join(commands)})


def _draw_box(node: LineageNode, rect: SlotPosition, width: float) -> Html:
    state = "rejected" if node.is_rejected else "kept"
    kind = _kind_line(node)
    shape = {"x": rect.x, "y": rect.y, "width": f"{width:.1f}", "height": rect.height, "rx": 8}
    lines = [
        ("name", _truncate_name(node.name)),
        ("kind", kind),
        ("size", node.size),
        ("id", node.id[:8]),
    ]
    texts = [
        element(f"text.{name}", text, attributes={"x": rect.x + 12, "y": rect.y + 21 + 16 * index})
        for index, (name, text) in enumerate(lines)
    ]
    title = element("title", f"{node.name}: {kind}, {node.size}, id {node.id}")
    drawn = join_html([title, element("rect", attributes=shape), *texts])
    if node.href:
        return element(f"a.box.{state}", drawn, attributes={"href": node.href})
    return element(f"g.box.{state}", drawn)


def _graph_as_text(nodes: Sequence[LineageNode]) -> str:
    text = ["Lineage graph."]
    for node in nodes:
        origin = f"made from {' and '.join(node.parents)}" if node.parents else "a source"
        text.append(
            f"{node.name} ({node.kind}) is {origin}{REJECTED_NOTE if node.is_rejected else ''}."
        )
    return " ".join(text)


REJECTED_NOTE = " and was rejected by its gates"
