// What every page needs: elements, requests to the server with a key if it wants one, copying.

/** An element with attributes, listeners (`onclick`) and children; text is always text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** A value that the browser keeps, or keeps for this tab; nothing where it may not. */
export const kept = (store, name) => ({
  get() { try { return JSON.parse(globalThis[store].getItem(name)); } catch { return null; } },
  set(value) {
    try {
      if (value === null) globalThis[store].removeItem(name);
      else globalThis[store].setItem(name, JSON.stringify(value));
    } catch { /* private mode, or full */ }
  },
});

const key = kept("sessionStorage", "groundup-key");
let asking = null;

/** The response of the server; an Error with a sentence otherwise. A key is asked for at 401. */
export async function request(path, options = {}) {
  for (;;) {
    const sent = key.get();
    const headers = { ...options.headers, ...(sent && { Authorization: `Bearer ${sent}` }) };
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server does not answer. See that it runs, then try again.");
    }
    if (response.ok) return response;
    const sentence = await errorOf(response);
    if (response.status !== 401) throw new Error(sentence);
    if (key.get() === sent) {
      key.set(null);
      asking ??= askForKey(sent ? sentence : "").finally(() => { asking = null; });
      key.set(await asking);
    }
  }
}

export const requestJson = async (path) => (await request(path)).json();

async function errorOf(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered with status ${response.status}. Try again.`;
  }
}

function askForKey(problem) {
  const input = make("input", { type: "password", id: "key", autocomplete: "off", required: true });
  const dialog = make("dialog", { "aria-labelledby": "key-title", class: "key" },
    make("form", { method: "dialog" },
      make("h2", { id: "key-title" }, "This server asks for a key"),
      make("p", { class: problem ? "bad-text" : "small", role: problem ? "alert" : null },
        problem || "It is kept until this tab is closed, and sent to this server alone."),
      make("label", { class: "field" }, make("span", {}, "Key"), input),
      make("p", { class: "buttons" },
        make("button", { class: "primary", value: "use" }, "Use this key"),
        make("button", { type: "button", onclick: () => dialog.close() }, "Not now"))));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve, reject) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      const given = input.value.trim();
      if (dialog.returnValue === "use" && given) resolve(given);
      else reject(new Error("This server asks for a key. Try again to give one."));
    });
  });
}

/** Copy a text and say so on the button for a moment. */
export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // pages that are not from this machine or https have no clipboard
    const area = make("textarea", { class: "spoken", readonly: true, "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const before = button.dataset.words ?? button.textContent;
  button.dataset.words = before;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1600);
}

/** The address of a document's page, or of its data, at a quote. */
export function documentUrl(base, path, quote = {}, more = {}) {
  const query = new URLSearchParams({ path });
  if (quote.end) { query.set("start", quote.start); query.set("end", quote.end); }
  // Bytes of a PDF are those of a page, so its text says where a quote is.
  if (quote.text && quote.text.length <= 1500) query.set("quote", quote.text);
  for (const [name, value] of Object.entries(more)) query.set(name, value);
  return `${base}?${query}`;
}

/** Whether keys that are pressed now are for a field. */
export const isTyping = (event) => /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
export const hasModifier = (event) => event.ctrlKey || event.metaKey || event.altKey;
