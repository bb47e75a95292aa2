// The search: an answer in quotes, then passages with the asked words marked, each in its document.

import { byId, documentUrl, hasModifier, isTyping, make, requestJson } from "./page.js";
import { cellsElement, kindOf, marked, quoteNodes } from "./text.js";

const main = byId("main"), query = byId("query"), state = byId("state"), trouble = byId("trouble");
const STEP = 10, MOST = 50;
let newest = 0;

const asked = () => new URLSearchParams(location.search).get("q") ?? "";

function showTrouble(error, again) {
  trouble.replaceChildren(error.message, " ", make("button", { type: "button", onclick: again }, "Try again"));
  trouble.hidden = false;
}

async function search(limit = STEP) {
  const text = asked(), number = newest += 1;
  query.value = text;
  trouble.hidden = true;
  document.title = text ? `${text.slice(0, 60)} · groundup` : "Search · groundup";
  if (!text) { clear(); state.textContent = ""; welcome(); return; }
  byId("empty").hidden = true;
  state.textContent = "Searching …";
  try {
    const found = await requestJson(`/api/search?${new URLSearchParams({ q: text, limit })}`);
    if (number === newest) show(found, limit);
  } catch (error) {
    if (number !== newest) return;
    clear();
    state.textContent = "";
    showTrouble(error, () => search(limit));
  }
}

const clear = () => main.querySelectorAll(":scope > section").forEach((section) => section.remove());

function show({ query: used, answer, passages }, limit) {
  clear();
  const count = passages.length;
  const words = count ? `${count} ${count === 1 ? "passage" : "passages"}` : "No passage has any of these words. Try others, or fewer.";
  state.replaceChildren(words, used !== asked() ? ` for “${used}”` : "");
  if (!answer.refused) main.append(answerSection(answer));
  else if (count) {
    const missing = answer.missing?.length ? ` Nowhere in the documents: ${answer.missing.join(", ")}.` : "";
    state.append(`. No sentence of them answers this alone.${missing}`);
  }
  main.append(...passages.map((passage, number) => passageSection(passage, number, used)));
  for (const section of main.querySelectorAll(".passage")) fold(section);
  if (count === limit && limit < MOST) main.append(make("section", { class: "more" },
    make("button", { type: "button", onclick: () => search(Math.min(MOST, limit + STEP)) }, "More passages")));
}

function answerSection(answer) {
  const claims = answer.claims.map((claim) => make("blockquote", { class: "claim" },
    cellsElement(claim.cells) ?? make("div", {}, ...quoteNodes(claim.text, /\.(md|markdown)$/i.test(claim.quotes[0].path))),
    make("p", { class: "small" }, make("a", { href: linkTo(claim.quotes.at(-1)) }, claim.quotes.at(-1).location))));
  const notes = [];
  if (answer.unanswered?.length) notes.push(`Not answered: ${answer.unanswered.join(", ")}.`);
  if (answer.meaning != null) notes.push(`Found by meaning, ${Math.round(100 * answer.meaning)} % likely to answer.`);
  if (answer.changed?.length) notes.push(`Changed since it was indexed: ${answer.changed.join(", ")}.`);
  return make("section", { class: "answer card", tabindex: "-1", "aria-labelledby": "answer-title" },
    make("h2", { id: "answer-title" }, "Answer"), ...claims, ...notes.map((note) => make("p", { class: "small" }, note)));
}

const linkTo = (quote, more) => documentUrl("/document", quote.path, quote, more);

function passageSection(passage, number, used) {
  const titles = passage.headings.flatMap(([text, marks], at) => [at ? " › " : "", ...marked(text.replaceAll("\n", " "), marks)]);
  return make("section", { class: "passage card", tabindex: "-1", "aria-labelledby": `passage-${number}` },
    make("h3", { id: `passage-${number}` }, make("a", { href: linkTo(passage, { q: used }) }, passage.location)),
    titles.length ? make("p", { class: "small" }, ...titles) : null,
    make("div", { class: `text ${kindOf(passage.kind)}` }, ...marked(passage.text, passage.marks)));
}

/** A long passage begins folded, at its first marked word. */
function fold(section) {
  const text = section.querySelector(".text");
  text.classList.add("folded");
  if (text.scrollHeight <= text.clientHeight + 24) { text.classList.remove("folded"); return; }
  const mark = text.querySelector("mark");
  if (mark) text.scrollTop = Math.max(0, mark.offsetTop - text.offsetTop - 40);
  const open = make("button", { type: "button", "aria-expanded": "false", onclick: () => {
    const isOpen = !text.classList.toggle("folded");
    open.textContent = isOpen ? "Show less" : "Show all of it";
    open.setAttribute("aria-expanded", String(isOpen));
  } }, "Show all of it");
  section.append(make("p", { class: "buttons" }, open));
}

async function welcome() {
  try {
    const about = await requestJson("/api/about");
    byId("empty-title").textContent = about.index ? "Search these documents" : "No documents are served here";
    byId("empty-text").textContent = about.index
      ? "Words in any form find passages; a question is answered above them, if a sentence of the documents does."
      : "Index a folder, and start the server with the index:";
    byId("empty-command").hidden = Boolean(about.index);
    for (const field of byId("form").elements) field.disabled = !about.index;
    byId("empty").hidden = Boolean(asked());
    const examples = about.index ? await requestJson("/api/examples") : [];
    byId("examples").replaceChildren(...examples.map((text) => make("li", {},
      make("button", { type: "button", onclick: () => go(text) }, text))));
  } catch (error) {
    showTrouble(error, () => { trouble.hidden = true; welcome(); });
  }
}

function go(text) {
  if (text !== asked()) history.pushState(null, "", text ? `?${new URLSearchParams({ q: text })}` : location.pathname);
  search();
}

byId("form").addEventListener("submit", (event) => { event.preventDefault(); go(query.value.trim()); });
addEventListener("popstate", () => search());
addEventListener("keydown", (event) => {
  if (hasModifier(event) || isTyping(event) || document.querySelector("dialog[open]")) return;
  if (event.key === "/") { event.preventDefault(); query.focus(); query.select(); }
  if (event.key === "Enter") event.target.closest?.(".passage:focus")?.querySelector("a").click();
});
search();
