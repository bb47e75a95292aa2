"""Source files are split into definitions, each with its names and the comment above it."""

import pydoc
import sys
import textwrap
from unittest.mock import ANY

import pytest

from groundup.documents import ReadConfig, Record, code_sections, read_data
from groundup.documents.code import definitions

SOURCES = {
    "cart.js": """const tax = require("./tax");

/** Adds one article. */
export function add(cart, article) {
  const price = () => article.price;
  cart.push(price());
}

class Cart {
  /**
   * Sums up.
   */
  total() { return this.items.reduce((a, b) => a + b, 0); }

  empty = () => { this.items = []; };
}

// Retries twice.
exports.retry = async function (call) { return call().catch(call); };
const View = memo(() => {
  const click = () => 1;
  return click;
});
(function () { function hidden() { return 1; } })();
""",
    "shop.ts": """import { Item } from "./item";

export interface Stock { count(item: Item): number; }

@Injectable()
export class Shop implements Stock {
  // How many there are.
  @Cached()
  count(item: Item): number { return this.items.get(item) ?? 0; }
}
namespace prices { export const half = (price: number): number => price / 2; }
type Maybe<T> = T | undefined;
""",
    "app.tsx": """export const App = (props: Props) => {
  return <p onClick={() => 1}>{props.a}</p>;
};
""",
    "ring.c": """#include <stddef.h>

struct ring { size_t head, tail; };
typedef struct { int x; } point_t;

/* Appends a byte,
   and drops the oldest. */
static unsigned char *
ring_push(struct ring *ring, unsigned char byte)
{
    return &ring->data[ring->head++];
}   // the end
int ring_size(const struct ring *ring);
""",
    "ring.hpp": """namespace ring {
/// Holds the newest items.
template <typename T>
class Ring {
public:
    ~Ring() { clear(); }
    T &at(int index) const { return items[index]; }
private:
    T *items;
};
}  // namespace ring

void ring::Reader::open(int port) { listen(port); }
""",
    "Heap.java": """package heap;

/** Keeps the least item first. */
public class Heap<T> {
    private int size;

    /** Makes an empty one. */
    public Heap() { size = 0; }

    @Override
    public String toString() { return "Heap"; }

    enum Order {
        UP, DOWN;
        Order flip() { return this == UP ? DOWN : UP; }
    }
}
""",
    "queue.go": """package queue

// Queue is a list.
type Queue struct{ items []int }

// Push adds an item.
func (q *Queue) Push(item int) { q.items = append(q.items, item) }

func New() *Queue { return &Queue{} }
""",
    "größe.rs": """use std::fmt;

/// Eine Größe 📏 in Metern.
#[derive(Debug)]
pub struct Größe { wert: f64 }

impl Größe {
    /// Verdoppelt sie.
    pub fn doppelt(&self) -> f64 { self.wert * 2.0 }
}
impl<T> fmt::Display for Box<T> { fn fmt(&self) -> u8 { 1 } }
mod tests { #[test] fn läuft() { assert!(true); } }
""",
}
NAMES = {
    "cart.js": "add Cart Cart.total Cart.empty exports.retry View hidden",
    "shop.ts": "Stock Shop Shop.count prices.half Maybe",
    "app.tsx": "App",
    "ring.c": "ring point_t ring_push",
    "ring.hpp": "ring ring.Ring ring.Ring.~Ring ring.Ring.at ring::Reader::open",
    "Heap.java": "Heap Heap.Heap Heap.toString Heap.Order Heap.Order.flip",
    "queue.go": "Queue Queue.Push New",
    "größe.rs": "Größe Größe.doppelt Box.fmt tests.läuft",
}


def sections(path: str, text: str, module: str = "") -> list[tuple[str, str]]:
    """Names without that of the module or file, joined by points, and texts."""
    (document,) = read_data(path, text.encode(), ReadConfig())
    assert isinstance(document, Record)
    found = code_sections(document)
    assert "".join(text[start:end] for start, end, _ in found) == (text if found else "")
    assert all(names[0] == (module or path) for _, _, names in found)
    return [(".".join(names[1:]), text[start:end].strip()) for start, end, names in found]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("path", SOURCES)
def test_every_definition_has_its_section(path, line_end):
    found = sections(path, SOURCES[path].replace("\n", line_end))
    assert list(dict.fromkeys(name for name, _ in found if name)) == NAMES[path].split()


@pytest.mark.parametrize(
    ("path", "name", "begin", "end"),
    [
        ("cart.js", "add", "/** Adds one", "price());\n}"),
        ("cart.js", "Cart.total", "/**\n   * Sums", "0); }"),
        ("cart.js", "exports.retry", "// Retries", "catch(call); };"),
        ("cart.js", "View", "const View", "});"),
        ("shop.ts", "Shop.count", "// How many", "?? 0; }\n}"),
        ("ring.c", "ring_push", "/* Appends", "// the end"),
        ("ring.hpp", "ring.Ring", "/// Holds", "class Ring {"),
        ("Heap.java", "Heap.toString", "@Override", '"Heap"; }'),
        ("queue.go", "Queue.Push", "// Push adds", "item) }"),
        ("größe.rs", "Größe", "/// Eine Größe 📏", "wert: f64 }"),
    ],
)
def test_a_section_is_the_definition_with_its_comment(path, name, begin, end):
    text = next(text for found, text in sections(path, SOURCES[path]) if found == name)
    assert text.startswith(begin)
    assert text.endswith(end)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_what_pydoc_prints_has_a_section_for_each_entry(line_end):
    page = pydoc.render_doc(textwrap, renderer=pydoc.plaintext).replace("\n", line_end)
    found = sections("textwrap.txt", page, "textwrap")
    text = {name: "".join(part for each, part in found if each == name) for name, _ in found}
    assert list(dict.fromkeys(name for name, _ in found if "__" not in name)) == (
        " TextWrapper TextWrapper.fill TextWrapper.wrap dedent fill indent shorten wrap".split(" ")
    )
    assert text["dedent"].startswith("dedent(text)") and "fill(" not in text["dedent"]
    assert text["TextWrapper"].startswith("class TextWrapper(builtins.object)")
    assert "wrap(self, text)" not in text["TextWrapper.fill"] and "---" in text["TextWrapper"]
    assert "---" not in text["TextWrapper.wrap"]
    assert sections("a.txt", "NAME\n    tea\n\nBrew\n\n    pour(it)\n", "tea") == [("", ANY)]


def test_broken_source_keeps_the_definitions_that_are_whole():
    text = "int first(void) { return 1; }\n\nint broken( { ;\n\nint last(void) { return 3; }\n"
    assert ("first", "int first(void) { return 1; }") in sections("a.c", text)
    assert sections("a.js", "}}} function f( {") != []


@pytest.mark.parametrize(
    "text",
    ["a=>" * 9_000, "{a:" * 9_000, "(" * 9_000, "case a:" * 1_500, "func f() { g() }\n" * 20_000],
)
def test_what_a_parser_cannot_read_in_time_is_not_parsed(text):
    assert sections("a.go", text) == []


def test_another_language_and_a_missing_package_give_no_sections(monkeypatch):
    assert sections("a.lua", "function f() return 1 end") == []
    definitions._open_grammar.cache_clear()
    monkeypatch.setitem(sys.modules, "tree_sitter_c", None)
    assert sections("ring.c", SOURCES["ring.c"]) == []
