"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const scripted = all("[data-script]");
for (const element of scripted) element.hidden = false;

// The theme: the system's until somebody presses the button.
const theme = document.getElementById("theme");
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const wanted = (root.dataset.theme || system) === "dark" ? "light" : "dark";
  root.dataset.theme = wanted;
  theme.setAttribute("aria-pressed", String(wanted === "dark"));
});
theme.setAttribute("aria-pressed", String(matchMedia("(prefers-color-scheme: dark)").matches));

// The changes that all realms of a group have with the same values.
const sharedChanges = group => all(":scope > table:first-of-type > tbody > tr:not([data-varies])", group);

// A realm's row has its own changes; those of its group are copied from there when the row is opened.
function addShared(row) {
  const pointer = row.querySelector("p[data-group]");
  if (!pointer) return;
  const group = document.getElementById(`g${pointer.dataset.group}`);
  let table = row.querySelector("table.changes");
  if (!table) {
    table = group.querySelector("table").cloneNode(true);
    table.tBodies[0].replaceChildren();
    pointer.before(table);
  }
  table.tBodies[0].append(...sharedChanges(group).map(one => one.cloneNode(true)));
  pointer.remove();
}
function complete(row) {
  addShared(row);
  const pointer = row.querySelector("p[data-see]");
  if (!pointer) return;
  for (const link of all("a", pointer)) {
    const found = document.createElement("div");
    found.className = "finding";
    found.append(...document.querySelector(link.hash).cloneNode(true).childNodes);
    found.querySelector(".realms")?.remove();
    pointer.before(found);
  }
  pointer.remove();
}
document.addEventListener("toggle", event => {
  if (event.target.open && event.target.matches(".realms details")) complete(event.target);
}, true);
all(".realms details[open]").forEach(complete);

// The text of a group or a finding, which many rows point to.
const known = new Map();
function textAt(hash) {
  if (!known.has(hash)) {
    const root = document.querySelector(hash);
    const parts = root.matches(".group") ? sharedChanges(root) : all(":scope > :not(.realms)", root);
    known.set(hash, parts.map(part => part.textContent).join(" "));
  }
  return known.get(hash);
}

const MAX_OPENED = 1000; // more rows are not opened by one button: each gets changes of its own

// Filters: a text, and the words of the pressed chips.
for (const section of all("section[data-list]")) {
  const items = all(":scope > .list > li", section);
  const box = section.querySelector("input[type=search]");
  if (!box) continue;
  const chips = all(".chip", section);
  const shown = section.querySelector("[role=status]");
  const toggle = section.querySelector(".toggle");
  let texts = null;
  const textOf = item => {
    const elsewhere = all("[data-group] a, [data-see] a", item).map(link => textAt(link.hash));
    return [item.textContent, ...elsewhere].join(" ").toLowerCase();
  };
  const filter = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = chips.filter(chip => chip.getAttribute("aria-pressed") === "true").map(chip => chip.value);
    if (words.length && !texts) texts = items.map(textOf);
    let count = 0;
    items.forEach((item, number) => {
      const kinds = item.dataset.is.split(" ");
      const fits = (!wanted.length || wanted.some(one => kinds.includes(one))) &&
        words.every(word => texts[number].includes(word));
      item.hidden = !fits;
      count += fits;
    });
    shown.textContent = `${count.toLocaleString("en")} of ${items.length.toLocaleString("en")} shown`;
    section.querySelector(".list").hidden = !count;
    if (toggle) toggle.hidden = count > MAX_OPENED;
  };
  if (toggle) toggle.hidden = items.length > MAX_OPENED;
  box.addEventListener("input", filter);
  box.addEventListener("keydown", event => {
    if (event.key === "Escape" && box.value) { box.value = ""; filter(); event.preventDefault(); }
  });
  for (const chip of chips) chip.addEventListener("click", () => {
    chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
    filter();
  });
  toggle?.addEventListener("click", () => {
    const rows = all(":scope > .list > li:not([hidden]) > details", section);
    const open = rows.some(row => !row.open);
    for (const row of rows) row.open = open;
    toggle.textContent = open ? "Close all" : "Open all";
  });
}

// Copying a command, also from a page of a folder, where the clipboard is out of reach.
for (const button of all("button[data-copy]")) button.addEventListener("click", () => {
  const source = button.parentElement.querySelector("pre");
  getSelection().selectAllChildren(source);
  const done = document.execCommand("copy");
  if (done) getSelection().removeAllRanges();
  button.textContent = done ? "Copied" : "Press Ctrl+C";
});
