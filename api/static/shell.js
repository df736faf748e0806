// What every page has: the colours before the first paint, the menu, and the keys.
"use strict";

// Storage may be forbidden; then the choice lasts as long as the page.
const kept = {
  get(name) { try { return localStorage.getItem(name); } catch { return null; } },
  set(name, value) { try { localStorage.setItem(name, value); } catch { /* not kept */ } },
};

function paint(theme) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}
paint(kept.get("theme"));
addEventListener("storage", (changed) => { if (changed.key === "theme") paint(changed.newValue); });

document.addEventListener("DOMContentLoaded", () => {
  const menu = document.getElementById("more");
  if (menu) {
    document.addEventListener("click", (clicked) => { if (!menu.contains(clicked.target)) menu.open = false; });
    menu.addEventListener("keydown", (pressed) => {
      if (pressed.key !== "Escape") return;
      menu.open = false;
      menu.querySelector("summary").focus();
    });
    menu.addEventListener("focusout", (left) => {
      if (left.relatedTarget && !menu.contains(left.relatedTarget)) menu.open = false;
    });
  }

  for (const themes of document.querySelectorAll("[data-themes]")) {
    themes.hidden = false;
    for (const choice of themes.querySelectorAll("input")) {
      choice.checked = choice.value === (kept.get("theme") || "system");
      choice.addEventListener("change", () => { kept.set("theme", choice.value); paint(choice.value); });
    }
  }

  const help = document.getElementById("keys");
  if (!help) return;
  const single = help.querySelector("[name=single]");
  single.checked = kept.get("keys") !== "off";
  single.addEventListener("change", () => kept.set("keys", single.checked ? "on" : "off"));
  for (const button of document.querySelectorAll("[data-keys]")) {
    button.hidden = false;
    button.addEventListener("click", () => { if (menu) menu.open = false; help.showModal(); });
  }
  help.addEventListener("click", (clicked) => { if (clicked.target === help) help.close(); });

  // Rows that j and k walk through: whatever a page lists.
  const rows = () => [...document.querySelectorAll("[data-row], .wall .card, .alerts .subject, .rules .subject, .lists .list")];
  function walk(by) {
    const all = rows();
    const at = all.indexOf(document.activeElement);
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  }
  let going = 0;
  document.addEventListener("keydown", (pressed) => {
    if (pressed.ctrlKey || pressed.metaKey || pressed.altKey || pressed.defaultPrevented || !single.checked) return;
    if (help.open || pressed.target.closest("input, textarea, select, [contenteditable]")) return;
    const goes = Date.now() - going < 1500;
    going = 0;
    if (goes) {
      const place = document.querySelector(`.links a[data-key="${CSS.escape(pressed.key)}"]`);
      if (place) { pressed.preventDefault(); place.click(); }
    } else if (pressed.key === "/") {
      const search = document.getElementById("q");
      if (search) { pressed.preventDefault(); search.focus(); search.select(); }
    } else if (pressed.key === "?") {
      pressed.preventDefault();
      help.showModal();
    } else if (pressed.key === "g") {
      going = Date.now();
    } else if (pressed.key === "j" || pressed.key === "k") {
      walk(pressed.key === "j" ? 1 : -1);
    }
  });
});
