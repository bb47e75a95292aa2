// The chat: a tree of messages, of which one path is shown; an answer is streamed into its message.
// A question that is edited and an answer that is asked for again stand beside the former ones.

import { byId, copy, documentUrl, hasModifier, isTyping, kept, make, request, requestJson } from "./page.js";
import { cellsElement, documentNodes, kindOf, offsets, quoteNodes, showMarkdown, withCitations } from "./text.js";

const talk = byId("talk"), ask = byId("ask"), send = byId("send"), stop = byId("stop");
const status = byId("status"), source = byId("source"), settingsForm = byId("settings-form");
const storedSettings = kept("localStorage", "groundup-settings");
const storedTalk = kept("sessionStorage", "groundup-chat");
const NUMBERS = ["temperature", "top_p", "max_tokens", "seed"];

let about = null;
let settings = storedSettings.get() ?? {};
let root = { children: [], chosen: 0 };
let running = null;
const views = new WeakMap();

// The tree.

function add(parent, node) {
  Object.assign(node, { parent, children: [], chosen: 0 });
  parent.children.push(node);
  parent.chosen = parent.children.length - 1;
  return node;
}

function path() {
  const nodes = [];
  for (let node = root.children[root.chosen]; node; node = node.children[node.chosen]) nodes.push(node);
  return nodes;
}

const save = () => storedTalk.set(
  root.children.length ? JSON.parse(JSON.stringify(root, (name, value) => (name === "parent" ? undefined : value))) : null);

function load() {
  const link = (node) => node.children.forEach((child) => {
    child.parent = node;
    if (child.isRunning) { delete child.isRunning; child.finish = "stopped"; }
    link(child);
  });
  try {
    const stored = storedTalk.get();
    if (stored) { link(stored); root = stored; }
  } catch { storedTalk.set(null); }
}

// What is asked of the server.

const isGrounded = () => Boolean(about?.index) && (!about.writes || settings.grounded !== "no");

function bodyFor(question) {
  const messages = [];
  for (let node = question; node !== root; node = node.parent) {
    if (node.role === "user" || (node.text && !node.problem)) messages.unshift({ role: node.role, content: node.text });
  }
  const body = { model: about.model, messages, stream: true, stream_options: { include_usage: true } };
  if (isGrounded()) return body;
  if (about.index) body.grounded = false;
  if (settings.system?.trim()) messages.unshift({ role: "system", content: settings.system });
  for (const name of NUMBERS) if (settings[name]) body[name] = Number(settings[name]);
  return body;
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const parts = (rest += value ?? "").split(/\r?\n\r?\n/);
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n").trim();
      if (data === "[DONE]") return;
      if (data) yield JSON.parse(data);
    }
    if (done) throw new Error("The answer broke off before its end; the server may have been restarted.");
  }
}

async function answer(question) {
  if (running) return;
  const node = add(question, { role: "assistant", text: "", grounded: isGrounded(), tokens: 0 });
  const abort = new AbortController(), begun = performance.now();
  running = { node, abort };
  node.isRunning = true;
  save();
  show();
  status.textContent = "Answering";
  try {
    if (!about) await learn();
    node.grounded = isGrounded();
    const response = await request("/v1/chat/completions", {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify(bodyFor(question)), signal: abort.signal,
    });
    for await (const event of events(response)) apply(node, event, performance.now() - begun);
  } catch (error) {
    if (abort.signal.aborted) node.finish = "stopped";
    else node.problem = error.message;
  }
  node.seconds = (performance.now() - begun) / 1000;
  delete node.isRunning;
  running = null;
  save();
  refresh(node);
  showControls();
  status.textContent = node.problem ?? (node.finish === "stopped" ? "Stopped." : `Answer: ${node.text}`);
}

function apply(node, event, milliseconds) {
  if (event.error) throw new Error(event.error.message);
  node.id ??= event.id;
  if (event.usage) node.usage = event.usage;
  if (event.groundup) node.details = event.groundup;
  const choice = event.choices?.[0];
  if (choice?.finish_reason) node.finish = choice.finish_reason;
  if (choice?.delta.annotations) node.annotations = choice.delta.annotations.map((each) => each.url_citation);
  if (choice?.delta.content) {
    node.text += choice.delta.content;
    node.tokens += 1;
    node.first ??= milliseconds;
    node.last = milliseconds;
  }
  refreshSoon(node);
}

let isDue = false;
function refreshSoon(node) {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => { isDue = false; refresh(node); });
}

// What is shown. A reader at the end stays there; one who has scrolled away is left in peace.

const isAtEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - 16;
const toEnd = () => scrollTo(0, document.documentElement.scrollHeight);

function refresh(node) {
  const view = views.get(node);
  if (!view?.isConnected) return;
  const stays = isAtEnd();
  fill(view, node);
  if (stays) toEnd();
  showControls();
}

function show() {
  const nodes = path();
  for (const node of nodes) if (!views.has(node)) views.set(node, viewOf(node));
  talk.replaceChildren(...nodes.map((node) => views.get(node)));
  nodes.forEach((node) => fill(views.get(node), node));
  byId("empty").hidden = nodes.length > 0 || !about;
  byId("new").hidden = !nodes.length;
  toEnd();
  showControls();
}

function showControls() {
  const isStopped = !running;
  const hadFocus = document.activeElement === (isStopped ? stop : send);
  send.hidden = !isStopped;
  stop.hidden = isStopped;
  if (hadFocus) (isStopped ? ask : stop).focus();
  byId("to-end").hidden = isAtEnd() || !root.children.length;
}

function viewOf(node) {
  const view = make("article", { class: node.role, "aria-label": node.role === "user" ? "You" : "Answer" });
  const parts = node.role === "user" ? ["words", "foot"] : ["words", "refusal", "sources", "notes", "problem", "foot"];
  for (const name of parts) view.append(make("div", { class: name }));
  return view;
}

const part = (view, name) => view.querySelector(`:scope > .${name}`);

function fill(view, node) {
  if (node.role === "user") {
    if (!view.classList.contains("edited")) part(view, "words").textContent = node.text;
    part(view, "foot").replaceChildren(...(view.classList.contains("edited") ? [] : [
      button("Edit", () => edit(node)), button("Copy", (it) => copy(node.text, it)), ...siblings(node, "Question")]));
    return;
  }
  const isRefused = Boolean(node.details?.refused);
  const citations = citationsOf(node);
  part(view, "words").hidden = isRefused || Boolean(node.problem && !node.text);
  if (!isRefused) fillWords(part(view, "words"), node, citations);
  part(view, "refusal").replaceChildren(...(isRefused ? refusalOf(node) : []));
  part(view, "sources").replaceChildren(...sourcesOf(citations));
  part(view, "notes").replaceChildren(...notesOf(node).map((note) => make("p", { class: "small" }, note)));
  part(view, "problem").replaceChildren(...(node.problem ? [make("p", { class: "trouble", role: "alert" }, node.problem,
    " ", button("Try again", () => again(node)))] : []));
  part(view, "foot").replaceChildren(...footOf(node));
}

const button = (text, onclick, attributes = {}) => {
  const made = make("button", { type: "button", onclick: () => onclick(made), ...attributes }, text);
  return made;
};

function siblings(node, what) {
  const all = node.parent.children;
  if (all.length < 2) return [];
  const go = (step) => {
    node.parent.chosen = (node.parent.chosen + step + all.length) % all.length;
    save();
    const y = scrollY;
    show();
    scrollTo(0, y);
  };
  return [make("span", { class: "siblings" },
    button("‹", () => go(-1), { "aria-label": `${what} before` }),
    `${all.indexOf(node) + 1} of ${all.length}`,
    button("›", () => go(1), { "aria-label": `${what} after` }))];
}

/** The distinct quotes of an answer, numbered from 1 as they come. */
function citationsOf(node) {
  const numbered = new Map();
  for (const each of node.annotations ?? []) {
    if (!numbered.has(each.url)) numbered.set(each.url, { ...each, number: numbered.size + 1 });
  }
  return [...numbered.values()];
}

function fillWords(container, node, citations) {
  if (!node.annotations) {
    if (node.text) showMarkdown(container, node.text);
    else container.replaceChildren(make("p", { class: "waiting" },
      !node.isRunning ? "Nothing was answered." : node.grounded ? "Looking in the documents …" : "Thinking …"));
    return;
  }
  const cite = (number) => make("sup", {}, button(String(number), (it) => openSource(citations[number - 1], it),
    { class: "cite", "aria-label": `Source ${number}: ${citations[number - 1].title}` }));
  container.replaceChildren(...claimElements(node, citations, cite));
}

/** Claims that are quotes stand as in their document; what a model wrote is read as Markdown. */
function claimElements(node, citations, cite) {
  const at = offsets(node.text), claims = new Map();
  for (const each of node.annotations) {
    const claim = claims.get(each.start_index) ?? { start: at(each.start_index), end: at(each.end_index), quotes: [], numbers: [] };
    claims.set(each.start_index, claim);
    claim.quotes.push(each.quote);
    const number = citations.find((one) => one.url === each.url).number;
    if (!claim.numbers.includes(number)) claim.numbers.push(number);
  }
  const elements = [];
  let end = 0, first = 0, places = [];
  const flush = (to) => {
    const text = node.text.slice(first, to);
    if (text.trim()) {
      const block = make("div", { class: "written" });
      showMarkdown(block, withCitations(text, places.map(([place, number]) => [place - first, number])), cite);
      elements.push(block);
    }
    places = [];
  };
  [...claims.values()].forEach((claim, number) => {
    const text = node.text.slice(claim.start, claim.end);
    if (text.startsWith(claim.quotes[0])) {
      flush(claim.start);
      const cells = cellsElement(node.details?.claims[number]?.cells);
      const isMarkdown = /\.(md|markdown):\d+$/i.test(citations[claim.numbers[0] - 1].title);
      const cited = withCitations(text, claim.numbers.map((each) => [text.length, each]));
      elements.push(make("blockquote", { class: "claim" },
        ...(cells ? [cells, ...claim.numbers.map(cite)] : quoteNodes(cited, isMarkdown, cite))));
      first = claim.end;
    } else claim.numbers.forEach((each) => places.push([claim.end, each]));
    end = claim.end;
  });
  flush(Math.max(end, node.text.length));
  return elements;
}

function sourcesOf(citations) {
  if (!citations.length) return [];
  return [make("ol", { class: "source-list", "aria-label": "Sources" }, citations.map((each) =>
    make("li", {}, button(each.title, (it) => openSource(each, it)))))];
}

const list = (words) => words.join(", ");

function refusalOf({ details }) {
  const place = details.nearest ?? details.related;
  const elements = [make("p", { class: "refused" }, "Not in these documents.")];
  const lines = [];
  if (details.missing?.length) lines.push(`Nowhere in them: ${list(details.missing)}.`);
  if (details.found?.length > 1) lines.push(`Near each other: ${list(details.found)}.`);
  if (details.no_quantity) lines.push(`No ${details.no_quantity} is said there.`);
  if (details.terms?.length === 0) lines.push("The question has no word to look for.");
  if (details.reading != null) lines.push("The reader finds no answer in the nearest place.");
  elements.push(...lines.map((line) => make("p", {}, line)));
  const meant = Object.entries(details.did_you_mean ?? {});
  if (meant.length) {
    const corrected = meant.reduce((text, [typed, word]) => text.replaceAll(typed, word), details.question);
    elements.push(make("p", {}, "Did you mean ", button(corrected, () => submit(corrected), { class: "link" }), /[?.!]$/.test(corrected) ? "" : "?"));
  }
  if (place) {
    const citation = { title: titleOf(place), url: documentUrl("/document", place.path, place), quote: place.text };
    const text = place.text.length > 300 ? `${place.text.slice(0, 300).trimEnd()} …` : place.text;
    elements.push(make("div", { class: "nearest" },
      make("p", { class: "small" }, "The nearest is ", button(citation.title, (it) => openSource(citation, it), { class: "link" })),
      make("blockquote", { class: "claim" }, text)));
  }
  elements.push(make("p", { class: "small" },
    make("a", { href: `/search?${new URLSearchParams({ q: details.question })}` }, "Search the documents for it")));
  return elements;
}

function titleOf({ path, page, line }) {
  if (page) return `${path}, ${/\.xlsx$/i.test(path) ? "sheet" : "page"} ${page}`;
  return line ? `${path}:${line}` : path;
}

function notesOf({ details, finish, text }) {
  const notes = [];
  if (finish === "length") notes.push("It ends here because it reached the maximum of tokens; raise it in the settings, or ask to go on.");
  if (finish === "stopped") notes.push(text ? "Stopped." : "Stopped before the first word.");
  if (!details) return notes;
  const meant = Object.entries(details.did_you_mean ?? {}).map(([typed, word]) => `${word}, not ${typed}`);
  if (!details.refused) {
    if (meant.length) notes.push(`Answered for ${list(meant)}.`);
    if (details.unanswered?.length) notes.push(`Not answered: ${list(details.unanswered)}.`);
    if (details.meaning != null) notes.push(`Found by meaning, ${Math.round(100 * details.meaning)} % likely to answer.`);
    if (details.risk != null) notes.push(`Of such answers at most ${(100 * details.risk).toFixed(1)} % are wrong.`);
    if (details.continues) notes.push(`The list goes on in ${details.continues}.`);
    if (details.changed?.length) notes.push(`Changed since it was indexed: ${list(details.changed)}.`);
  }
  if (details.dropped?.length) notes.push(`Left out, because no quote supports it: ${details.dropped.join("; ")}`);
  if (details.left_out) notes.push(`Files that could not be read: ${details.left_out}${details.left_out_files?.length ? ` (${list(details.left_out_files)})` : ""}.`);
  if (details.note) notes.push(`${details.note[0].toUpperCase()}${details.note.slice(1)}.`);
  return notes;
}

function footOf(node) {
  const measures = [];
  const tokens = node.isRunning ? node.tokens : node.usage?.completion_tokens ?? node.tokens;
  if (tokens && !node.grounded) {
    measures.push(`${tokens} ${tokens === 1 ? "token" : "tokens"}`);
    const seconds = (node.last - node.first) / 1000;
    if (tokens > 1 && seconds > 0) measures.push(`${Number(((tokens - 1) / seconds).toPrecision(3))} tokens/s`);
    measures.push(`first after ${(node.first / 1000).toFixed(2)} s`);
  } else if (!node.isRunning && node.seconds) measures.push(`${node.seconds.toFixed(1)} s`);
  const words = make("span", { class: "measures" }, measures.join(" · "));
  if (node.isRunning) return [words];
  const id = node.id ? button(`${node.id.slice(0, 17)}…`, (it) => copy(node.id, it),
    { class: "id", title: `Copy the answer’s id, ${node.id}`, "aria-label": `Copy the answer’s id, ${node.id}` }) : null;
  return [node.text && button("Copy", (it) => copy(node.text, it)), button("Again", () => again(node)),
    ...siblings(node, "Answer"), words, id].filter(Boolean);
}

// The passage beside the answer.

let opener = null;

async function openSource(citation, from) {
  const url = new URL(citation.url, location.origin);
  opener = from;
  document.body.classList.add("with-source");
  source.hidden = false;
  byId("source-title").textContent = citation.title;
  byId("source-path").textContent = "";
  const body = byId("source-text");
  body.replaceChildren(make("p", { class: "waiting" }, "Opening …"));
  source.focus({ preventScroll: true });
  const quote = { start: url.searchParams.get("start"), end: url.searchParams.get("end"), text: citation.quote };
  const name = url.searchParams.get("path") ?? "";
  byId("source-link").href = documentUrl("/document", name, quote);
  try {
    const data = await requestJson(documentUrl("/api/document", name, quote, { around: 1500 }));
    if (opener !== from) return;
    const at = data.marks[0]?.[0] ?? 0, titles = [];
    for (const [level, first, last] of data.headings) {
      if (first > at) break;
      while (titles.length && titles[titles.length - 1].level >= level) titles.pop();
      titles.push({ level, text: [...data.text].slice(first, last).join("") });
    }
    byId("source-path").textContent = titles.map((title) => title.text.split("\n")[0]).join(" › ");
    body.className = `text ${kindOf(data.kind)}`;
    body.replaceChildren(data.offset ? "… " : "", ...documentNodes(data), data.offset + [...data.text].length < data.size ? " …" : "");
    const mark = body.querySelector("mark");
    body.scrollTop = mark ? mark.offsetTop - body.offsetTop - body.clientHeight / 4 : 0;
  } catch (error) {
    body.replaceChildren(make("p", { class: "trouble", role: "alert" }, error.message, " ",
      button("Try again", () => openSource(citation, from))));
  }
}

function closeSource() {
  source.hidden = true;
  document.body.classList.remove("with-source");
  (opener?.isConnected ? opener : ask).focus({ preventScroll: true });
  opener = null;
}

// What people do.

function submit(text) {
  if (!text.trim() || running) return;
  const nodes = path();
  const question = add(nodes[nodes.length - 1] ?? root, { role: "user", text: text.trim() });
  answer(question);
}

function again(node) {
  if (running) return;
  const question = node.parent;
  if (node.problem) question.children.splice(question.children.indexOf(node), 1);
  answer(question);
}

function edit(node) {
  const view = views.get(node), words = part(view, "words");
  const field = make("textarea", { "aria-label": "Edit your question", rows: "1" });
  const close = () => { view.classList.remove("edited"); fill(view, node); };
  const done = () => {
    const text = field.value.trim();
    close();
    if (text && text !== node.text && !running) answer(add(node.parent, { role: "user", text }));
    ask.focus();
  };
  view.classList.add("edited");
  field.value = node.text;
  field.addEventListener("input", () => grow(field));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { event.stopPropagation(); close(); ask.focus(); }
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); done(); }
  });
  words.replaceChildren(field, make("p", { class: "buttons" },
    button("Ask this instead", done, { class: "primary" }), button("Cancel", () => { close(); ask.focus(); })));
  part(view, "foot").replaceChildren();
  grow(field);
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

function grow(field) {
  const stays = isAtEnd();
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
  if (stays) toEnd();
}

function begin() {
  running?.abort.abort();
  root = { children: [], chosen: 0 };
  save();
  if (!source.hidden) closeSource();
  show();
  ask.focus();
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running || !ask.value.trim()) return;
  const text = ask.value;
  ask.value = "";
  grow(ask);
  submit(text);
});
stop.addEventListener("click", () => running?.abort.abort());
byId("new").addEventListener("click", begin);
byId("to-end").addEventListener("click", () => { toEnd(); ask.focus(); });
byId("source-close").addEventListener("click", closeSource);
addEventListener("scroll", showControls, { passive: true });
addEventListener("resize", showControls);
ask.addEventListener("input", () => grow(ask));
ask.addEventListener("keydown", (event) => {
  const isTouch = matchMedia("(pointer: coarse)").matches;
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !isTouch) {
    event.preventDefault();
    byId("composer").requestSubmit();
  } else if (!ask.value && event.key === "ArrowUp") {
    const last = path().findLast((node) => node.role === "user");
    if (last && !running) { event.preventDefault(); edit(last); }
  } else if (!ask.value && event.key === "?") {
    event.preventDefault();
    byId("keys-open").click();
  }
});
addEventListener("keydown", (event) => {
  if (hasModifier(event) || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") {
    if (running) running.abort.abort();
    else if (!source.hidden) closeSource();
    else document.activeElement.blur();
  }
  if (isTyping(event)) return;
  const last = path().findLast((node) => node.role === "assistant");
  const actions = { "/": () => ask.focus(), ",": () => byId("settings-open").click(), r: () => last && again(last) };
  if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
});

// Settings, and what the server is.

function showSettings() {
  for (const field of settingsForm.elements) {
    if (field.type === "radio") field.checked = field.value === (settings.grounded ?? "yes");
    else if (field.name) field.value = settings[field.name] ?? "";
  }
  const isFree = Boolean(about?.writes), hasBoth = isFree && Boolean(about?.index);
  byId("grounding").hidden = !hasBoth;
  byId("sampling").hidden = !isFree;
  byId("sampling-note").hidden = !hasBoth;
  byId("mode").textContent = !about ? "" : isGrounded() ? "From the documents" : "Freely, by the model";
  byId("mode").hidden = !about || !(about.index || about.writes);
}

settingsForm.addEventListener("input", () => {
  settings = {};
  for (const field of settingsForm.elements) {
    if (field.name && (field.type !== "radio" || field.checked) && field.value.trim() && field.validity.valid) settings[field.name] = field.value;
  }
  storedSettings.set(settings);
  byId("mode").textContent = isGrounded() ? "From the documents" : "Freely, by the model";
});
byId("settings-reset").addEventListener("click", () => { settings = {}; storedSettings.set(null); showSettings(); });
for (const id of ["settings-open", "mode"]) {
  byId(id).addEventListener("click", () => { showSettings(); byId("theme-too").textContent = byId("theme").textContent; byId("settings").showModal(); });
}
byId("theme-too").addEventListener("click", () => { byId("theme").click(); byId("theme-too").textContent = byId("theme").textContent; });
byId("keys-too").addEventListener("click", () => { byId("settings").close(); byId("keys-open").click(); });
byId("settings").addEventListener("click", (event) => { if (event.target === byId("settings")) byId("settings").close(); });

async function learn() {
  about = await requestJson("/api/about");
  byId("to-search").hidden = !about.index;
  const facts = { Model: about.writes || about.kind ? about.model : null, Context: about.context_length && `${about.context_length} tokens`,
    Weights: about.artifact?.slice(0, 12), Index: about.index?.slice(0, 12) };
  byId("facts").replaceChildren(...Object.entries(facts).filter(([, value]) => value).map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  showSettings();
  showEmpty();
}

function showEmpty() {
  const [title, text, command] = about.index
    ? ["Ask these documents", about.writes ? "Answers carry their quotes; a number opens the passage. What the documents do not say is not answered." : "Answers are quotes from them; a number opens the passage. What they do not say is not answered."]
    : about.writes ? [`Talk to ${about.model}`, "What it writes is not checked against anything. Serve an index too, and it answers from your documents, with quotes:",
      "groundup serve MODEL --index INDEX"]
      : about.kind === "encoder" ? [`${about.model} writes no text`, "It turns texts into vectors. Ask for them so:",
        `curl ${location.origin}/v1/embeddings -H 'Content-Type: application/json' -d '{"model": ${JSON.stringify(about.model)}, "input": "a text"}'`]
        : [`${about.model} has not learned to converse`, "It has no chat template; it continues a text. Ask for that so:",
          `curl ${location.origin}/v1/completions -H 'Content-Type: application/json' -d '{"model": ${JSON.stringify(about.model)}, "prompt": "Once upon a time"}'`];
  byId("empty-title").textContent = title;
  byId("empty-text").textContent = text;
  byId("empty-command").hidden = !command;
  if (command) {
    byId("empty-command").querySelector("code").textContent = command;
    byId("empty-command").querySelector("button").onclick = (event) => copy(command, event.target);
  }
  byId("empty").hidden = root.children.length > 0;
  if (about.index) requestJson("/api/examples").then((examples) => byId("examples").replaceChildren(
    ...examples.map((text) => make("li", {}, button(text, () => submit(text))))), () => {});
}

async function start() {
  byId("trouble").hidden = true;
  try {
    await learn();
  } catch (error) {
    byId("trouble").replaceChildren(error.message, " ", button("Try again", start));
    byId("trouble").hidden = false;
  }
}

load();
show();
start();
