
(() => {
  "use strict";
  const at = (id) => document.getElementById(id);
  const base = location.pathname.replace(/\/$/, "");
  const memory = {
    get() { try { return localStorage.getItem("groundup-reviewer"); } catch { return null; } },
    set(value) { try { localStorage.setItem("groundup-reviewer", value); } catch { /* private mode */ } },
  };
  const reason = at("reason"), who = at("who"), decide = at("decide");
  let state = null;      // what the server said last
  let mode = "judging";  // or "editing", "dropping"
  let busy = false, retry = 0;

  const made = (name, classes, text) => {
    const node = document.createElement(name);
    node.className = classes;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const titled = (label, text, classes = "card") => {
    const box = made("div", classes);
    box.append(made("p", "label", label), made("p", text ? "text" : "text none", text || "(empty)"));
    return box;
  };
  const tell = (text) => { at("told").textContent = text; };
  const alarm = (text) => { at("alert").hidden = !text; at("alert").textContent = text; };

  const roles = { user: "Question", system: "Instruction", assistant: "Answer before" };
  const showItem = (item) => {
    const turns = item.conversation.map(([role, content]) =>
      titled(roles[role] || role, content, role === "user" ? "card question" : "card"));
    at("conversation").replaceChildren(...turns);
    const kind = item.compares ? "Answer" : "Reference answer";
    const answers = item.answers.map((text, i) => titled(item.answers.length > 1 ? `${kind} ${i + 1}` : kind, text));
    if (item.compares) answers.forEach((box, i) => box.append(rankButton(i + 1)));
    else if (!answers.length) answers.push(titled(kind, "None: it should be refused."));
    at("answers").replaceChildren(...answers);
    showSource(item);
    at("usual").hidden = true;
  };
  // A ranking, best first, as typed: 2>1=3.
  let order = "";
  const ranked = () => order.split(/[>=]/).filter(Boolean);
  const rankButton = (number) => {
    const button = made("button", "rank", "");
    button.type = "button";
    button.dataset.rank = number;
    return button;
  };
  const showOrder = () => {
    const pair = state.item.compares === 2;
    for (const button of document.querySelectorAll("[data-rank]")) {
      const tier = order.split(">").findIndex((each) => each.split("=").includes(button.dataset.rank));
      button.textContent = tier < 0 ? (pair ? "Better" : order ? "Next" : "Best") : `Rank ${tier + 1}`;
      button.setAttribute("aria-label", `Answer ${button.dataset.rank}: ${button.textContent}`);
      button.disabled = tier >= 0;
    }
    document.querySelector("[data-action=save]").hidden = pair;
    if (order) tell(`Ranked so far, best first: ${order}`);
  };
  const rank = (number) => {
    const { compares } = state.item;
    if (!compares || number > compares || ranked().includes(`${number}`)) return;
    order += (order && !order.endsWith("=") ? ">" : "") + number;
    if (compares === 2) save(); else showOrder();
  };
  const save = () => order && vote("rank", { fields: { order: order.replace(/=$/, "") } });
  const tie = () => {
    if (!order) order = "=";
    else if (!order.endsWith("=")) { order += "="; showOrder(); return; }
    if (order === "=") vote("rank", { fields: { order } });
  };
  const unrank = () => { order = order.replace(/(=|>?\d+)$/, ""); tell(""); showOrder(); };
  const showSource = (item) => {
    at("source").hidden = !item.passage;
    if (!item.passage) return;
    const text = made("p", "text"), label = item.source ? `Source: ${item.source}` : "Source";
    text.tabIndex = 0;
    if (item.span) {
      // Spans count characters, JavaScript counts UTF-16 units.
      const letters = Array.from(item.passage), [start, end] = item.span;
      const mark = made("mark", "", letters.slice(start, end).join(""));
      text.append(letters.slice(0, start).join(""), mark, letters.slice(end).join(""));
    } else text.textContent = item.passage;
    at("source").replaceChildren(made("p", "label", label), text);
    const mark = text.querySelector("mark");
    if (mark) text.scrollTop = mark.offsetTop - text.offsetTop - text.clientHeight / 3;
  };
  const show = (next) => {
    state = next;
    const { item, done, total } = state;
    at("far").textContent = item ? `${done + 1} of ${total}${item.kind && ` · ${item.kind}`}` : `${done} of ${total}`;
    at("bar").max = total;
    at("bar").value = done;
    document.title = item ? `${done + 1} of ${total}` : "Reviewed";
    if (document.activeElement !== who) who.value = state.who;
    at("item").hidden = decide.hidden = !item;
    at("ending").hidden = Boolean(item);
    at("summary").textContent = state.summary;
    for (const undo of document.querySelectorAll("[data-action=undo]")) undo.disabled = !done;
    reason.value = order = "";
    back();
    if (item) { showItem(item); scrollTo(0, 0); }
    if (item && item.compares) showOrder();
  };

  const back = () => {
    mode = "judging";
    at("editing").hidden = true;
    at("usual").hidden = true;
    decide.classList.remove("dropping", "editing-now");
    if (document.activeElement && document.activeElement !== who) document.activeElement.blur();
  };
  const area = (label, text) => {
    const box = made("label", "", label), field = made("textarea", "");
    field.value = text;
    field.rows = 2;
    box.append(field);
    return box;
  };
  const modify = () => {
    const { item } = state;
    const save = made("button", "to-accept", "Save (Ctrl+Enter)"), cancel = made("button", "", "Back (Escape)");
    save.type = cancel.type = "button";
    save.id = "save";
    save.addEventListener("click", saveModified);
    cancel.addEventListener("click", () => { tell(""); back(); });
    const row = made("div", "buttons");
    row.append(save, cancel);
    const answers = item.answers.map((text, i) =>
      area(item.answers.length > 1 ? `Reference answer ${i + 1}` : "Reference answer", text));
    if (!answers.length) answers.push(area("Reference answer (none while empty)", ""));
    at("editing").replaceChildren(area("Question", item.question), ...answers, row);
    at("editing").hidden = false;
    decide.classList.add("editing-now");
    mode = "editing";
    at("editing").querySelector("textarea").focus();
  };
  const saveModified = () => {
    const [question, ...references] = [...at("editing").querySelectorAll("textarea")].map((a) => a.value);
    const none = !state.item.answers.length && !references[0].trim();
    vote("modify", { fields: { question, references: none ? [] : references } });
  };
  const drop = () => {
    if (reason.value.trim()) { vote("drop"); return; }
    mode = "dropping";
    at("usual").hidden = false;
    decide.classList.add("dropping");
    reason.focus();
    tell("Why? Pick a reason or write one, then Enter. Escape goes back.");
  };

  const ask = async (path, body) => {
    const options = body && {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    };
    const answer = await fetch(`${base}/${path}`, { ...options, cache: "no-store" });
    const data = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(data.error), { told: true });
    return data;
  };
  const GONE = "The server cannot be reached. Every decision that moved the page on is on disk; the one " +
    "shown here is not. The page tries again by itself; if the server was stopped, start it again " +
    "and open its new address.";
  const send = async (path, body, done) => {
    if (busy) return;
    busy = true;
    clearTimeout(retry);
    try {
      const next = await ask(path, body);
      alarm("");
      tell(done);
      show(next);
    } catch (error) {
      if (error.told) { alarm(""); tell(error.message); }
      else { alarm(GONE); retry = setTimeout(() => send(path, body, done), 2000); }
    } finally { busy = false; }
  };
  const SAID = { accept: "Accepted.", modify: "Modified.", drop: "Dropped.", rank: "Recorded." };
  const vote = (action, more = {}) => send("vote", {
    who: state.who, subject: state.item.subject, action, reason: reason.value, ...more,
  }, SAID[action]);
  const load = (name) => send(`state?who=${encodeURIComponent(name || "")}`, undefined, "");

  const actions = {
    accept: () => vote("accept"), modify, drop, tie, save,
    skip: () => send("skip", { who: state.who, subject: state.item.subject }, "Skipped; it comes again at the end."),
    undo: () => state.done && send("undo", { who: state.who }, "Taken back."),
  };
  const sampleKeys = { a: "accept", m: "modify", d: "drop" };
  const comparisonKeys = { "=": "tie", Enter: "save", d: "drop" };
  document.addEventListener("click", (event) => {
    const control = event.target.closest("[data-action], [data-reason], [data-rank]");
    if (!control || !state) return;
    if (control.dataset.reason) { reason.value = control.dataset.reason; vote("drop"); }
    else if (control.dataset.rank) rank(Number(control.dataset.rank));
    else actions[control.dataset.action]();
  });
  addEventListener("keydown", (event) => {
    if (!state || event.altKey || event.isComposing || at("keys").open) return;
    const { key } = event, typing = /^(INPUT|TEXTAREA)$/.test(event.target.tagName);
    const does = (action) => { event.preventDefault(); action(); };
    if (key === "Escape") { does(() => { tell(""); back(); }); return; }
    if (mode === "editing" && key === "Enter" && (event.ctrlKey || event.metaKey)) { does(saveModified); return; }
    if (event.ctrlKey || event.metaKey) return;
    if (event.target === who) { if (key === "Enter") does(() => who.blur()); return; }
    if (event.target === reason) {
      const usual = document.querySelectorAll("[data-reason]");
      if (mode === "dropping" && !reason.value && usual[key - 1]) does(() => usual[key - 1].click());
      else if (key === "Enter" && mode === "dropping") does(() => reason.value.trim() ? vote("drop") : back());
      else if (key === "Enter") does(() => reason.blur());
      return;
    }
    if (typing) return;
    if (event.repeat) return;
    if (key === "u") { does(actions.undo); return; }
    if (!state.item) return;
    if (key === "r") does(() => reason.focus());
    else if (key === "s") does(actions.skip);
    else if (state.item.compares && /^[1-9]$/.test(key)) does(() => rank(Number(key)));
    else if (state.item.compares && key === "Backspace") does(unrank);
    else if (key === "Enter" && event.target.tagName === "BUTTON") return;
    else {
      const keys = state.item.compares ? comparisonKeys : sampleKeys;
      if (keys[key]) does(actions[keys[key]]);
    }
  });
  who.addEventListener("change", () => {
    const name = who.value.trim();
    if (!name) { who.value = state ? state.who : ""; return; }
    memory.set(name);
    load(name);
  });
  const asked = new URLSearchParams(location.search).get("who");
  load(asked || memory.get());
})();
