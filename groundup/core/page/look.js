(() => {
  "use strict";
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const themes = ["automatic", "light", "dark"];
  const kept = {
    get() { try { return localStorage.getItem("groundup-theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("groundup-theme", value); } catch { /* private mode */ } },
  };
  let theme = "automatic";
  const show = (name) => {
    theme = themes.includes(name) ? name : "automatic";
    if (theme === "automatic") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  const turn = () => {
    show(themes[(themes.indexOf(theme) + 1) % themes.length]);
    kept.set(theme);
  };
  const asked = /theme=(light|dark)/.exec(location.hash);
  show(asked ? asked[1] : kept.get());
  button.hidden = false;
  button.addEventListener("click", turn);

  const copy = async (text, source) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      return document.execCommand("copy");
    }
  };
  for (const control of document.querySelectorAll("button[data-copy]")) {
    control.hidden = false;
    control.addEventListener("click", async () => {
      const done = await copy(control.dataset.copy, control.parentElement.querySelector("code"));
      control.textContent = done ? "Copied" : "Selected";
      setTimeout(() => { control.textContent = "Copy"; }, 1600);
    });
  }

  const keys = document.getElementById("keys");
  const toggleKeys = () => (keys.open ? keys.close() : keys.showModal());
  const opener = document.getElementById("keys-open");
  opener.hidden = false;
  opener.addEventListener("click", toggleKeys);
  document.getElementById("keys-close").addEventListener("click", toggleKeys);

  const go = (step) => {
    const sections = [...document.querySelectorAll("main > section")];
    const tops = sections.map((section) => section.getBoundingClientRect().top);
    const next = step > 0
      ? sections.find((_, i) => tops[i] > 24)
      : sections.findLast((_, i) => tops[i] < -24);
    if (next) { next.scrollIntoView(); next.focus({ preventScroll: true }); }
  };
  const toggleDetails = () => {
    const all = [...document.querySelectorAll("details")];
    const open = all.some((one) => !one.open);
    for (const one of all) one.open = open;
  };
  const openTarget = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", openTarget);
  openTarget();
  const actions = { "?": toggleKeys, t: turn, n: () => go(1), p: () => go(-1), e: toggleDetails };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !actions[event.key]) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    if (keys.open && event.key !== "?") return;
    event.preventDefault();
    actions[event.key]();
  });
})();
