// Texts as elements: Markdown of answers, marked words, and documents. Text is never parsed as HTML.

import { copy, make } from "./page.js";

/** Where the n-th character is in a string of JavaScript, which counts some of them twice. */
export function offsets(text) {
  if (!/[\ud800-\udfff]/.test(text)) return (at) => at;
  const places = [0];
  for (const character of text) places.push(places[places.length - 1] + character.length);
  return (at) => places[Math.min(at, places.length - 1)];
}

/** Text with some ranges of it in <mark>. */
export function marked(text, marks) {
  const at = offsets(text), nodes = [];
  let end = 0;
  for (const [first, last] of marks) {
    nodes.push(text.slice(end, at(first)), make("mark", {}, text.slice(at(first), at(last))));
    end = at(last);
  }
  return [...nodes, text.slice(end)];
}

/** The cells of a row of a table by their columns; nothing without any. */
export function cellsElement(cells) {
  const rows = Object.entries(cells ?? {}).map(([name, cell]) =>
    make("div", {}, make("dt", {}, name.trim() || "·"), make("dd", {}, cell.trim() || "–")));
  return rows.length ? make("dl", { class: "facts" }, ...rows) : null;
}

const EXTRACTED = new Set(["html", "pdf", "epub", "docx", "odt", "pptx", "odp", "rtf", "conversation"]);

/** The class of a document's text: columns of a plain text stand only in type of one width. */
export const kindOf = (kind) => (EXTRACTED.has(kind) ? "prose" : "aligned");

/** A document's text with its titles, pages and marks, as elements. */
export function documentNodes(data) {
  const at = offsets(data.text);
  const titles = data.headings.map(([level, first, last], number) => ({
    first, last, element: make("strong", { class: "title", role: "heading", id: `title-${number + 1}`,
      "aria-level": Math.min(6, level + 1) }),
  }));
  const ranges = (pairs) => pairs.map(([first, last]) => ({ first, last }));
  // Of a search the words are marked and the passage is tinted; of an answer the quote is marked.
  const marks = ranges(data.words.length ? data.words : data.marks);
  const tinted = ranges(data.words.length ? data.marks : []);
  const part = /\.xlsx$/i.test(data.path) ? "Sheet" : "Page";
  const pages = new Map(data.pages.map(([page, start]) => [start, page]));
  const cuts = new Set([0]);
  for (const range of [...titles, ...marks, ...tinted]) cuts.add(range.first).add(range.last);
  for (const start of pages.keys()) cuts.add(start);
  const ends = [...cuts].sort((a, b) => a - b);
  const nodes = [];
  ends.forEach((first, number) => {
    if (pages.has(first)) nodes.push(make("span", { class: "page" }, `${part} ${pages.get(first)}`));
    const next = ends[number + 1];
    const text = data.text.slice(at(first), next === undefined ? undefined : at(next));
    if (!text) return;
    const inside = (range) => range.first <= first && first < range.last;
    const name = marks.some(inside) ? "mark" : tinted.some(inside) ? "span" : null;
    const node = name ? make(name, { class: tinted.some(inside) ? "tinted" : null }, text) : text;
    const title = titles.find(inside);
    if (title && !title.element.hasChildNodes()) nodes.push(title.element);
    if (title) title.element.append(node); else nodes.push(node);
  });
  return nodes;
}

// Citations stand in a text as two characters of private use while it is parsed.
const CITE = "\ue000", FIRST = 0xe100;

/** A text with a citation behind some of its characters: pairs of place and number. */
export function withCitations(text, places) {
  const clean = (part) => part.replace(/[\ue000\ue100-\uf8ff]/g, "\ufffd");
  let result = "", end = 0;
  for (const [place, number] of places) {
    result += clean(text.slice(end, place)) + CITE + String.fromCharCode(FIRST + number);
    end = place;
  }
  return result + clean(text.slice(end));
}

const withoutCitations = (text) => text.replace(/\ue000[\ue100-\uf8ff]/g, "");

/** A text with its citations, which stay on the line of the word before them. */
function plain(text, cite) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(/([^\s\ue000]{0,40})((?:\ue000[\ue100-\uf8ff])+)/g)) {
    const numbers = [...match[2].matchAll(/[\ue100-\uf8ff]/g)].map(([sign]) => sign.charCodeAt(0) - FIRST);
    nodes.push(text.slice(end, match.index), make("span", { class: "keep" }, match[1], ...numbers.map(cite)));
    end = match.index + match[0].length;
  }
  return [...nodes, text.slice(end)];
}

/** A quote as it stands, with its citations; of Markdown with its bold words and its code. */
export const quoteNodes = (text, isMarkdown, cite = () => "") => (isMarkdown ? inline : plain)(text, cite);

function inline(text, cite) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(/(`+)(?!`)([^]*?[^`])\1(?!`)|\*\*(?=\S)([^]*?\S)\*\*/g)) {
    nodes.push(...plain(text.slice(end, match.index), cite));
    if (match[1]) nodes.push(make("code", {}, ...plain(match[2].trim() || match[2], cite)));
    else nodes.push(make("strong", {}, ...inline(match[3], cite)));
    end = match.index + match[0].length;
  }
  return [...nodes, ...plain(text.slice(end), cite)].filter((node) => node !== "");
}

const FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)[^`]*$/;
const ITEM = /^(\s*)([-*+•]|\d{1,9}[.)])\s+(.*)$/;
const TITLE = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;

/** Whether an item goes on with the list that another began: below one of it, or with its kind of mark. */
function isSameList(first, line) {
  const [, indent, mark] = ITEM.exec(first), [, depth, other] = ITEM.exec(line);
  return depth.length > indent.length || /\d/.test(mark) === /\d/.test(other);
}

/** The blocks of a Markdown text: kind and lines. */
function blocksOf(source) {
  const blocks = [], lines = source.split("\n");
  let open = null;
  const begin = (kind, line) => { open = { kind, lines: [line] }; blocks.push(open); };
  for (const line of lines) {
    if (open?.kind === "code") {
      open.lines.push(line);
      const fence = FENCE.exec(open.lines[0])[1];
      if (line.trim().startsWith(fence) && !line.trim().replaceAll(fence[0], "")) open = null;
    } else if (FENCE.test(line)) begin("code", line);
    else if (!line.trim()) { if (open?.kind === "list") open.lines.push(line); else open = null; }
    else if (TITLE.test(line)) { begin("title", line); open = null; }
    else if (ITEM.test(line)) { if (open?.kind === "list" && isSameList(open.lines[0], line)) open.lines.push(line); else begin("list", line); }
    else if (open?.kind === "list" && (/^\s/.test(line) || open.lines[open.lines.length - 1].trim())) open.lines.push(line);
    else if (open?.kind === "text") open.lines.push(line);
    else begin("text", line);
  }
  return blocks;
}

function listElement(lines, cite) {
  const items = [];
  for (const line of lines) {
    const match = ITEM.exec(line);
    if (match) items.push({ depth: match[1].length, mark: match[2], text: match[3] });
    else if (items.length && line.trim()) items[items.length - 1].text += `\n${line.trim()}`;
  }
  const build = (from, to) => {
    const isNumbered = /\d/.test(items[from].mark), depth = items[from].depth;
    const start = parseInt(items[from].mark, 10);
    const list = make(isNumbered ? "ol" : "ul", { class: "list", start: isNumbered && start !== 1 ? start : null });
    for (let at = from; at < to;) {
      let next = at + 1;
      while (next < to && items[next].depth > depth) next += 1;
      list.append(make("li", {}, ...inline(items[at].text, cite), next > at + 1 ? build(at + 1, next) : null));
      at = next;
    }
    return list;
  };
  return build(0, items.length);
}

function codeElement(lines, cite) {
  const [, fence, language] = FENCE.exec(lines[0]);
  const last = lines[lines.length - 1].trim();
  const isClosed = lines.length > 1 && last.startsWith(fence) && !last.replaceAll(fence[0], "");
  const text = lines.slice(1, isClosed ? -1 : undefined).join("\n");
  const button = make("button", { type: "button", onclick: () => copy(withoutCitations(text), button) }, "Copy");
  return make("div", { class: "code" },
    make("div", { class: "code-head small" }, make("span", {}, language || "code"), button),
    make("pre", { tabindex: "0", role: "region", "aria-label": `Code ${language}`.trim() }, make("code", {}, ...plain(text, cite))));
}

function blockElement({ kind, lines }, cite) {
  if (kind === "code") return codeElement(lines, cite);
  if (kind === "list") return listElement(lines, cite);
  if (kind === "title") {
    const [, marks, text] = TITLE.exec(lines[0]);
    return make("p", { class: "title", role: "heading", "aria-level": Math.min(6, marks.length + 2) }, ...inline(text, cite));
  }
  return make("p", {}, ...inline(lines.join("\n"), cite));
}

const shown = new WeakMap();

/** Show a Markdown text; of a text that has grown only the blocks that changed are made anew. */
export function showMarkdown(container, source, cite = () => "") {
  const blocks = blocksOf(source).map((block) => ({ ...block, source: `${block.kind}\n${block.lines.join("\n")}` }));
  const before = shown.get(container) ?? [];
  let same = 0;
  while (same < before.length && same < blocks.length && before[same] === blocks[same].source) same += 1;
  while (container.childNodes.length > same) container.lastChild.remove();
  container.append(...blocks.slice(same).map((block) => blockElement(block, cite)));
  shown.set(container, blocks.map((block) => block.source));
}
