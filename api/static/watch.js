// Alerts, rules and watchlists: what is done on their pages, and the board that keeps itself up.
"use strict";

async function send(method, address, body, type = "application/json") {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = type;
  let answer;
  try {
    answer = await fetch(address, { method, headers, body });
  } catch {
    throw Object.assign(new Error("the server cannot be reached: try again"), { problems: [] });
  }
  if (answer.status === 401) { location.reload(); }
  let told = {};
  try { told = await answer.json(); } catch { /* a proxy's page */ }
  if (!answer.ok) {
    const words = told.detail || `the server answered ${answer.status}`;
    throw Object.assign(new Error(words), { problems: told.problems || [] });
  }
  return told;
}

function tell(place, words) {
  if (!place) return;
  place.textContent = words ? words[0].toUpperCase() + words.slice(1) : "";
  place.hidden = !words;
}

// Alerts: acknowledge, resolve, comment.
document.addEventListener("click", (clicked) => {
  const opens = clicked.target.closest('[data-opens="comment"]');
  if (!opens) return;
  const say = opens.form.querySelector(".say");
  say.hidden = !say.hidden;
  if (!say.hidden) say.querySelector("input").focus();
});

document.addEventListener("submit", async (sent) => {
  const form = sent.target.closest("form.deeds");
  if (!form) return;
  sent.preventDefault();
  const said = form.elements.comment;
  const open = !form.querySelector(".say").hidden;
  // Enter in the field of a comment sends the comment.
  const deed = document.activeElement === said ? "comment" : sent.submitter?.value || "comment";
  const comment = open ? said.value.trim() : "";
  const wrong = form.querySelector(".wrong");
  tell(wrong, "");
  if (deed === "comment" && !comment) { said.focus(); return; }
  for (const button of form.querySelectorAll("button")) button.disabled = true;
  try {
    const body = JSON.stringify(comment ? { comment } : {});
    const done = await send("POST", `/alerts/${form.dataset.alert}/${deed}`, body);
    const shown = document.getElementById(`a-${form.dataset.alert}`);
    shown.dataset.state = done.state;
    const badge = shown.querySelector(".badge.state");
    badge.className = `badge state ${done.state}`;
    badge.textContent = done.state;
    said.value = "";
    form.querySelector(".say").hidden = true;
    if ("alone" in shown.dataset && done.written) remember(done.written);
  } catch (failure) {
    tell(wrong, failure.message);
  }
  for (const button of form.querySelectorAll("button")) button.disabled = false;
});

// The page of one alert shows at once what the view will say in a moment.
function remember(written) {
  const line = document.createElement("li");
  const what = document.createElement("p");
  const bold = document.createElement("b");
  bold.textContent = written.kind[0].toUpperCase() + written.kind.slice(1);
  what.append(bold, ` by ${written.actor}`);
  line.append(what);
  if (written.comment) {
    const said = document.createElement("p");
    said.className = "said";
    said.textContent = written.comment;
    line.append(said);
  }
  const when = document.createElement("p");
  when.className = "muted small";
  when.textContent = "just now";
  line.append(when);
  document.querySelector(".history").append(line);
}

const board = document.getElementById("alerts");
if (board) follow(board);

function follow(board) {
  const { state, rule, plate, severity, camera, mode } = board.dataset;
  const most = Number(board.dataset.most);
  const light = document.getElementById("live");
  const lost = document.getElementById("lost");
  const waiting = document.getElementById("new");
  const empty = document.getElementById("empty");
  let cursor = board.dataset.cursor;
  let held = new Map();
  let timer = 0;
  let source = null;

  function show(name, words) {
    light.dataset.state = name;
    light.textContent = words;
    lost.hidden = name !== "lost";
  }

  const normal = (text) => (text || "").toUpperCase().replace(/[^A-Z0-9*?]/g, "");
  function like(text) {
    const wanted = normal(plate).replace(/\*/g, ".*").replace(/\?/g, ".");
    return new RegExp(`^${wanted}$`).test(text || "");
  }
  function belongs(told) {
    return (state === "all" || told.state === state) && (!rule || told.rule === rule)
      && (!severity || told.severity === severity) && (!camera || told.camera_id === camera)
      && (!plate || like(told.plate));
  }

  function place(id, html) {
    const shell = document.createElement("template");
    shell.innerHTML = html;  // made by the server, where everything in it was escaped
    const made = shell.content.firstElementChild;
    const old = document.getElementById(`a-${id}`);
    if (old) {
      // Nobody loses what they are writing.
      if (old.contains(document.activeElement) || old.querySelector(".say input")?.value) {
        old.dataset.state = made.dataset.state;
        old.querySelector(".badge.state").replaceWith(made.querySelector(".badge.state"));
        return;
      }
      old.replaceWith(made);
    } else {
      made.classList.add("fresh");
      board.prepend(made);
      while (board.children.length > most) board.lastElementChild.remove();
      empty.hidden = true;
    }
    tellAges(made);
    mendPictures(made);
  }

  function change(told) {
    const here = document.getElementById(`a-${told.alert_id}`);
    if (told.erased) {
      here?.remove();
      held.delete(told.alert_id);
    } else if (here) {
      place(told.alert_id, told.html);  // one that was dealt with stays until the page is left
    } else if (mode === "live" && belongs(told)) {
      if (window.scrollY > 240) held.set(told.alert_id, told.html);
      else place(told.alert_id, told.html);
    }
    waiting.hidden = held.size === 0;
    waiting.textContent = held.size === 1 ? "1 new alert" : `${held.size} new alerts`;
    count();
  }

  // How many there are in each state, as this page would say it now.
  function count() {
    timer ||= setTimeout(async () => {
      timer = 0;
      try {
        const answer = await fetch(location.href, { headers: { accept: "text/html" } });
        if (!answer.ok) return;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of [".title .muted", ".chips"]) {
          document.querySelector(part).replaceChildren(...page.querySelector(part).childNodes);
        }
      } catch { /* the stream itself tells when the connection is lost */ }
    }, 2000);
  }

  function release() {
    for (const [id, html] of held) place(id, html);
    held = new Map();
    waiting.hidden = true;
  }
  waiting.addEventListener("click", () => { release(); window.scrollTo({ top: 0 }); });
  window.addEventListener("scroll", () => { if (window.scrollY <= 240 && held.size) release(); }, { passive: true });

  async function again() {
    try {
      const answer = await fetch("/stats", { headers: { accept: "application/json" } });
      if (answer.status === 401) { location.reload(); return; }
    } catch { /* not back yet */ }
    connect();
  }
  function connect() {
    source = new EventSource(`/alerts/stream?cards=true&since=${encodeURIComponent(cursor)}`);
    source.onopen = () => show("live", "Live");
    source.addEventListener("card", (message) => {
      cursor = message.lastEventId || cursor;
      change(JSON.parse(message.data));
    });
    source.addEventListener("reset", () => location.reload());
    source.onerror = () => {
      show("lost", "Connection lost");
      if (source.readyState === EventSource.CLOSED) setTimeout(again, 3000);
    };
  }
  connect();
  window.addEventListener("pagehide", () => source.close());
  window.addEventListener("pageshow", (shown) => { if (shown.persisted) connect(); });
}

// Rules: the switch, the end, and a text with its lines numbered and its problems at them.
for (const place of document.querySelectorAll("[data-rule]")) {
  const wrong = place.querySelector(".wrong");
  const turn = place.querySelector("[data-switch]");
  turn?.addEventListener("click", async () => {
    turn.disabled = true;
    tell(wrong, "");
    try {
      const on = place.dataset.enabled === "1";
      await send("POST", `${place.dataset.rule}/${on ? "disable" : "enable"}`);
      place.dataset.enabled = on ? "" : "1";
      place.querySelector(".switch").textContent = on ? "off" : "on";
      turn.textContent = on ? "Enable" : "Disable";
      const text = document.querySelector("#rule textarea");
      if (text) setTimeout(() => location.reload(), 1200);  // its text has changed
    } catch (failure) { tell(wrong, failure.message); }
    turn.disabled = false;
  });
  const end = place.querySelector("[data-remove]");
  end?.addEventListener("click", async () => {
    if (!confirm("Remove this rule? It raises no alert any more; those there are stay.")) return;
    try {
      await send("DELETE", place.dataset.rule);
      location.href = "/rules";
    } catch (failure) { tell(wrong, failure.message); }
  });
}

class Editor {
  constructor(form) {
    this.text = form.querySelector("textarea");
    this.gutter = form.querySelector(".gutter");
    this.list = form.querySelector(".problems");
    this.wrong = new Set();
    this.text.addEventListener("input", () => this.number());
    this.text.addEventListener("scroll", () => { this.gutter.scrollTop = this.text.scrollTop; });
    this.text.addEventListener("keydown", (pressed) => {
      if (pressed.key !== "Tab" || pressed.shiftKey || this.text.readOnly) return;
      if (this.free) { this.free = false; return; }  // Escape, then Tab, leaves the field
      pressed.preventDefault();
      this.text.setRangeText("  ", this.text.selectionStart, this.text.selectionEnd, "end");
      this.number();
    });
    this.text.addEventListener("keyup", (pressed) => { if (pressed.key === "Escape") this.free = true; });
    this.number();
  }
  number() {
    const lines = this.text.value.split("\n").length;
    while (this.gutter.children.length > lines) this.gutter.lastElementChild.remove();
    while (this.gutter.children.length < lines) {
      const line = document.createElement("li");
      line.textContent = this.gutter.children.length + 1;
      this.gutter.append(line);
    }
    [...this.gutter.children].forEach((line, at) => line.classList.toggle("wrong", this.wrong.has(at + 1)));
    this.gutter.scrollTop = this.text.scrollTop;
  }
  show(problems) {
    this.wrong = new Set(problems.map((one) => one.line));
    this.list.hidden = problems.length === 0;
    this.list.replaceChildren(...problems.map((one) => {
      const item = document.createElement("li");
      if (one.line) {
        const go = document.createElement("button");
        go.type = "button";
        go.className = "at";
        go.textContent = `Line ${one.line}`;
        go.addEventListener("click", () => this.go(one.line));
        item.append(go, " ");
      }
      const field = document.createElement("b");
      field.textContent = one.field || one.column || "";
      item.append(field, field.textContent ? ": " : "", one.message);
      return item;
    }));
    this.number();
  }
  go(line) {
    const lines = this.text.value.split("\n");
    const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    this.text.focus();
    this.text.setSelectionRange(start, start + (lines[line - 1] || "").length);
    this.text.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(this.text).lineHeight));
  }
  fail(failure) {
    this.show(failure.problems.length ? failure.problems : [{ message: failure.message }]);
  }
}

const ruleForm = document.getElementById("rule");
if (ruleForm) {
  const editor = new Editor(ruleForm);
  const said = ruleForm.querySelector("output");
  ruleForm.addEventListener("submit", async (sent) => {
    sent.preventDefault();
    said.textContent = "";
    try {
      const { method, to } = ruleForm.dataset;
      const done = await send(method, to, editor.text.value, "application/yaml");
      editor.show([]);
      said.textContent = done.written.length ? "Saved: it is in force within a second." : "Nothing has changed.";
      if (method === "POST" && done.written.length) location.href = "/rules";
      else if (done.written.length) setTimeout(() => location.reload(), 1200);
    } catch (failure) { editor.fail(failure); }
  });
  ruleForm.querySelector("[data-check]")?.addEventListener("click", async () => {
    said.textContent = "";
    try {
      const found = await send("POST", "/rules/test", editor.text.value, "application/yaml");
      const failed = found.examples.filter((one) => !one.passed);
      editor.show([
        ...found.problems,
        ...failed.map((one) => ({ field: `${one.rule}, ${one.example}`, message: one.told })),
      ]);
      const tried = found.examples.length ? `, ${found.examples.length - failed.length} of ${found.examples.length} examples pass` : "";
      if (!found.problems.length) said.textContent = `${found.rules.length} rule${found.rules.length === 1 ? "" : "s"} without a problem${tried}.`;
    } catch (failure) { editor.fail(failure); }
  });
}

// Rules tried on history: asked again and again how far it is; who leaves asks no more.
const tryForm = document.getElementById("backtest");
if (tryForm) {
  const editor = new Editor(tryForm);
  const said = tryForm.querySelector("output");
  const bar = tryForm.querySelector("progress");
  const stop = tryForm.querySelector("[data-stop]");
  const run = tryForm.querySelector("[type=submit]");
  const result = document.getElementById("result");
  let job = null;
  stop.addEventListener("click", () => { if (job) send("DELETE", `/rules/backtest/${job}`).catch(() => {}); });
  tryForm.addEventListener("submit", async (sent) => {
    sent.preventDefault();
    run.disabled = true;
    result.replaceChildren();
    said.textContent = "";
    try {
      const rules = editor.text.value;
      const since = tryForm.elements.since.value;
      let told = await send("POST", "/rules/backtest", JSON.stringify({ rules, since }));
      editor.show([]);
      job = told.id;
      bar.hidden = stop.hidden = false;
      while (told.state === "running") {
        bar.value = told.progress;
        said.textContent = told.told;
        await new Promise((done) => setTimeout(done, 400));
        told = await send("GET", `/rules/backtest/${job}`);
      }
      if (told.state === "failed") throw Object.assign(new Error(told.told), { problems: [] });
      const page = await fetch(`/rules/backtest/${job}`, { headers: { accept: "text/html" } });
      if (!page.ok) throw Object.assign(new Error("the result is gone: run it again"), { problems: [] });
      result.innerHTML = await page.text();  // made by the server, where everything in it was escaped
      said.textContent = "";
    } catch (failure) {
      said.textContent = "";
      editor.fail(failure);
    }
    bar.hidden = stop.hidden = true;
    run.disabled = false;
    job = null;
  });
}

// Watchlists: an entry's form, the buttons in the table, and the import.
const day = (iso) => iso.slice(0, 10);
function lastDay(iso) {
  const at = new Date(iso);
  return new Date(at.getTime() - 1).toISOString().slice(0, 10);
}

for (const form of document.querySelectorAll("form.entry:not(#import)")) {
  const wrong = form.querySelector(".wrong");
  const said = form.querySelector("output");
  form.addEventListener("submit", async (sent) => {
    sent.preventDefault();
    tell(wrong, "");
    const of = form.elements;
    const list = form.dataset.list || `/watchlists/${encodeURIComponent(of.watchlist.value.trim())}`;
    const time = (input) => (input.dataset.shown === input.value ? input.dataset.whole : input.value) || null;
    const body = {
      kind: of.kind.value, match: of.match.value || null, reason: of.reason.value,
      owner: of.owner.value, valid_from: time(of.valid_from), valid_to: time(of.valid_to),
      tags: of.tags.value.split(";"),
    };
    try {
      await send("PUT", `${list}/${encodeURIComponent(of.plate.value.trim())}`, JSON.stringify(body));
      said.textContent = "Saved: it is in force within a second.";
      setTimeout(() => { location.href = list; }, 900);  // until the view has it
    } catch (failure) { tell(wrong, failure.message); }
  });
}

for (const table of document.querySelectorAll("table.entries")) {
  table.addEventListener("click", async (clicked) => {
    const row = clicked.target.closest("tr");
    const told = row?.dataset;
    if (clicked.target.closest("[data-off]")) {
      if (!confirm(`Take ${told.plate} off this list?`)) return;
      try {
        await send("DELETE", `${table.dataset.list}/${encodeURIComponent(told.plate)}`);
        row.remove();
      } catch (failure) { tell(document.getElementById("list-wrong"), failure.message); }
    } else if (clicked.target.closest("[data-edit]")) {
      const of = document.querySelector("#edit form").elements;
      for (const name of ["plate", "kind", "match", "reason", "owner", "tags"]) of[name].value = told[name];
      for (const [input, whole, shown] of [
        [of.valid_from, told.from, told.from && day(told.from)],
        [of.valid_to, told.to, told.to && lastDay(told.to)],
      ]) {
        input.value = shown;
        input.dataset.shown = shown;
        input.dataset.whole = whole;
      }
      document.getElementById("edit").scrollIntoView({ behavior: "smooth" });
      of.reason.focus({ preventScroll: true });
    }
  });
}

const load = document.getElementById("import");
if (load) {
  const said = load.querySelector("output");
  const take = load.querySelector("[data-take]");
  const preview = load.querySelector(".preview");
  const problems = load.querySelector(".problems");
  const address = `${load.dataset.list}/import`;
  const file = load.elements.file;
  function forget() {
    take.hidden = preview.hidden = problems.hidden = true;
    said.textContent = "";
  }
  function fail(failure) {
    const found = failure.problems.length ? failure.problems : [{ message: failure.message }];
    problems.hidden = false;
    problems.replaceChildren(...found.map((one) => {
      const item = document.createElement("li");
      const at = [one.line ? `Line ${one.line}` : "", one.column || ""].filter(Boolean).join(", ");
      item.textContent = at ? `${at}: ${one.message}` : one.message;
      return item;
    }));
  }
  file.addEventListener("change", forget);
  load.addEventListener("submit", async (sent) => {
    sent.preventDefault();
    forget();
    try {
      const found = await send("POST", `${address}?dry_run=true`, file.files[0], "text/csv");
      preview.querySelector("tbody").replaceChildren(...found.first.map((one) => {
        const row = document.createElement("tr");
        for (const value of [one.plate, one.kind, one.match, one.reason]) {
          const cell = document.createElement("td");
          cell.textContent = value;
          row.append(cell);
        }
        return row;
      }));
      preview.hidden = found.entries === 0;
      take.hidden = found.entries === 0;
      take.textContent = `Import ${found.entries.toLocaleString("en")}`;
      said.textContent = found.entries > found.first.length ? `The first ${found.first.length} of ${found.entries.toLocaleString("en")}:` : "";
      if (!found.entries) said.textContent = "There is no entry in this file.";
    } catch (failure) { fail(failure); }
  });
  take.addEventListener("click", async () => {
    take.disabled = true;
    try {
      const done = await send("POST", address, file.files[0], "text/csv");
      said.textContent = `${done.entries.toLocaleString("en")} are on the list.`;
      take.hidden = true;
      setTimeout(() => { location.href = load.dataset.list; }, 1500);  // until the view has them
    } catch (failure) { fail(failure); }
    take.disabled = false;
  });
}

// Dead letters: which are chosen, tried without sending, then sent again.
for (const form of document.querySelectorAll("form[data-redrive]")) {
  const wrong = form.querySelector(".wrong");
  const told = form.querySelector(".outcome");
  const boxes = [...form.querySelectorAll("[name=place]")];
  form.querySelector("[data-all]")?.addEventListener("change", (changed) => {
    for (const box of boxes) box.checked = changed.target.checked;
  });
  function line(mark, place, words) {
    const item = document.createElement("li");
    const badge = document.createElement("span");
    badge.className = `badge ${mark}`;
    badge.textContent = { confirmed: "sent", revised: "would be sent", tentative: "was sent", retracted: "not sent" }[mark];
    const at = document.createElement("span");
    at.className = "mono small";
    at.textContent = place;
    item.append(badge, " ", at, words ? ` ${words}` : "");
    return item;
  }
  form.addEventListener("submit", async (sent) => {
    sent.preventDefault();
    tell(wrong, "");
    const dry = sent.submitter?.value !== "send";
    const places = form.dataset.place ? [form.dataset.place] : boxes.filter((box) => box.checked).map((box) => box.value);
    if (!places.length) { tell(wrong, "choose the records first: nothing is chosen"); return; }
    const many = places.length === 1 ? places[0] : `${places.length} records`;
    if (!dry && !confirm(`Send ${many} again?`)) return;
    for (const button of form.querySelectorAll("button")) button.disabled = true;
    try {
      const body = { places, dry_run: dry, again: form.elements.again.checked, anyway: form.elements.anyway.checked };
      const done = await send("POST", "/dead-letters/redrive", JSON.stringify(body));
      const list = document.createElement("ul");
      list.append(
        ...Object.entries(done.sent).map(([place, to]) => line(dry ? "revised" : "confirmed", place, to ? `as ${to}` : "")),
        ...Object.entries(done.already).map(([place, to]) => line("tentative", place, `as ${to}, by a run that was cut off`)),
        ...Object.entries(done.refused).map(([place, why]) => line("retracted", place, why)),
      );
      told.replaceChildren(...done.told.map((words) => Object.assign(document.createElement("p"), { textContent: words })), list);
    } catch (failure) { tell(wrong, failure.message); }
    for (const button of form.querySelectorAll("button")) button.disabled = false;
  });
}
