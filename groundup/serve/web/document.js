// A document of the index as it was when it was indexed, opened at the quote that its address names.

import { byId, copy, documentUrl, hasModifier, isTyping, make, requestJson } from "./page.js";
import { documentNodes, kindOf } from "./text.js";

const text = byId("text"), trouble = byId("trouble");
const asked = new URLSearchParams(location.search);
const count = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

function toMark() {
  const mark = text.querySelector(".tinted") ?? text.querySelector("mark");
  if (!mark) return;
  mark.setAttribute("tabindex", "-1");
  mark.scrollIntoView({ block: "center" });
  mark.focus({ preventScroll: true });
}

async function start() {
  trouble.hidden = true;
  const path = asked.get("path");
  try {
    if (!path) throw new Error("No document is named. Open one from the search or from an answer.");
    const quote = { start: asked.get("start"), end: asked.get("end"), text: asked.get("quote") };
    const query = asked.get("q");
    show(await requestJson(documentUrl("/api/document", path, quote, query ? { q: query } : {})));
  } catch (error) {
    trouble.replaceChildren(error.message, " ", path ? make("button", { type: "button", onclick: start }, "Try again") : "",
      " ", make("a", { href: "/search" }, "Search the documents"));
    trouble.hidden = false;
  }
}

function show(data) {
  const length = [...data.text].length, isWhole = length === data.size;
  document.title = `${data.name} · groundup`;
  byId("name").textContent = data.name;
  byId("facts").textContent = [data.kind, count(data.size, "character"),
    isWhole ? "" : `shown are characters ${(data.offset + 1).toLocaleString("en")} to ${(data.offset + length).toLocaleString("en")}`,
    data.marks.length ? "" : asked.get("end") ? "the quote is not in it any more" : ""].filter(Boolean).join(" · ");
  text.className = `text card ${kindOf(data.kind)}`;
  text.replaceChildren(...documentNodes(data));
  text.hidden = false;
  const link = make("button", { type: "button", onclick: () => copy(location.href, link) }, "Copy the link");
  byId("actions").replaceChildren(...(data.marks.length ? [make("button", { type: "button", onclick: toMark }, "To the marked passage")] : []), link);
  const titles = [...text.querySelectorAll(".title")];
  byId("contents").hidden = titles.length < 3;
  byId("contents").querySelector("ul").replaceChildren(...titles.map((title) =>
    make("li", { class: `level-${Math.min(4, title.ariaLevel - 1)}` }, make("a", { href: `#${title.id}` }, title.textContent.split("\n")[0]))));
  toMark();
}

addEventListener("keydown", (event) => {
  if (hasModifier(event) || isTyping(event) || document.querySelector("dialog[open]")) return;
  if (event.key === "m") toMark();
  if (event.key === "/") { event.preventDefault(); location.href = "/search"; }
});
start();
