
(() => {
  "use strict";
  const at = (id) => document.getElementById(id);
  const holder = at("index"), index = JSON.parse(holder.dataset.index), here = Number(holder.dataset.page);
  const samples = [...document.querySelectorAll(".sample")].map((node) => ({
    node, masks: node.dataset.m ? node.dataset.m.split(",").map(Number) : [],
  }));
  const buttons = [...document.querySelectorAll("[data-filter]")], select = at("measure");
  const number = (value) => value.toLocaleString("en");
  let filter = 0, measure = 0;

  const hash = () => `#show=${index.filters[filter]}&by=${encodeURIComponent(index.measures[measure] ?? "")}`;
  const counts = (which) => index.counts[measure]?.[which] ?? index.names.map(() => 0);
  const total = (which) => counts(which).reduce((sum, count) => sum + count, 0);
  const point = (link, page) => {
    link.hidden = page < 0;
    link.href = page < 0 ? "#" : index.names[page] + hash();
  };
  const show = () => {
    for (const { node, masks } of samples) {
      node.hidden = masks.length > 0 && !(Math.floor(masks[measure] / 2 ** filter) % 2);
    }
    for (const [place, button] of buttons.entries()) {
      const count = total(place);
      button.setAttribute("aria-pressed", String(place === filter));
      button.disabled = !count && place !== filter;
      button.querySelector(".count").textContent = number(count);
    }
    const pages = counts(filter).map((count, page) => (count ? page : -1)).filter((page) => page >= 0);
    point(at("before"), pages.findLast((page) => page < here) ?? -1);
    point(at("after"), pages.find((page) => page > here) ?? -1);
    const place = pages.indexOf(here);
    at("at").textContent = place < 0 ? `${number(pages.length)} pages have such samples`
      : `Page ${number(place + 1)} of ${number(pages.length)} with such samples`;
    const nothing = at("nothing");
    nothing.hidden = place >= 0;
    if (place < 0) {
      nothing.textContent = pages.length ? "None of them on this page. " : "There is no such sample.";
      if (pages.length) {
        const link = document.createElement("a");
        link.href = index.names[pages[0]] + hash();
        link.textContent = "Go to the first page that has some.";
        nothing.append(link);
      }
    }
    if (select) select.value = String(measure);
  };
  const read = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (/^#s\d+$/.test(location.hash)) filter = 0;
    filter = Math.max(0, index.filters.indexOf(asked.get("show") ?? index.filters[filter]));
    measure = Math.max(0, index.measures.indexOf(asked.get("by") ?? index.measures[measure]));
    show();
    const pages = counts(filter);
    const first = pages.findIndex((count) => count > 0);
    if (asked.has("jump") && !pages[here] && first >= 0) location.replace(index.names[first] + hash());
  };
  const choose = (place) => { filter = place; history.replaceState(null, "", hash()); show(); };

  at("controls").hidden = false;
  for (const [place, button] of buttons.entries()) button.addEventListener("click", () => choose(place));
  if (select) select.addEventListener("change", () => {
    measure = Number(select.value);
    history.replaceState(null, "", hash());
    show();
  });
  addEventListener("hashchange", read);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || at("keys").open) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    if (event.key === "f") {
      const places = buttons.map((_, place) => place).filter((place) => !buttons[place].disabled);
      choose(places[(places.indexOf(filter) + 1) % places.length]);
    } else if (event.key === "ArrowLeft" && !at("before").hidden) at("before").click();
    else if (event.key === "ArrowRight" && !at("after").hidden) at("after").click();
  });
  read();
})();
