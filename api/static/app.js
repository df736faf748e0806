// What the pages do beyond their HTML: times that age, the live wall, and the reference's forms.
"use strict";

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "always", style: "narrow" });
const STEPS = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [Infinity, "day", 86400]];

function age(seconds) {
  if (Math.abs(seconds) < 5) return "just now";
  const [, unit, size] = STEPS.find(([limit]) => Math.abs(seconds) < limit);
  return relative.format(-Math.floor(seconds / size), unit);
}

function tellAges(root = document) {
  for (const time of root.querySelectorAll("time[data-age]")) {
    const at = new Date(time.dateTime);
    time.textContent = age((Date.now() - at) / 1000);
    time.title = `${exact.format(at)} (your time)`;
  }
}
tellAges();
setInterval(tellAges, 5000);

// A picture that is gone (its time to be kept is over) leaves a word, not a broken sign.
function mendPictures(root) {
  for (const image of root.querySelectorAll(".crop img, .frame img, td img")) {
    const gone = () => {
      const none = document.createElement("span");
      none.className = "none";
      none.textContent = "Picture no longer kept";
      image.replaceWith(none);
    };
    if (image.complete && !image.naturalWidth) gone();
    else image.addEventListener("error", gone, { once: true });
  }
}
mendPictures(document);

// The first admin's link: what follows # never reaches a server's log or another site. It is sent
// when the button is pressed, so that a browser that only looks ahead does not use it up.
const key = document.getElementById("key");
if (key && location.hash.startsWith("#token=")) {
  key.value = decodeURIComponent(location.hash.slice("#token=".length));
  history.replaceState(null, "", location.pathname + location.search);
  document.querySelector("label[for=key]").textContent = "One-time link";
  for (const part of document.querySelectorAll("[for=name], #name, #name-told")) part.remove();
  document.getElementById("told").textContent =
    "This link makes the first administrator's key. It works once.";
}

const wall = document.getElementById("wall");
if (wall) live(wall);

function live(wall) {
  const { camera, mode, retracted } = wall.dataset;
  const most = Number(wall.dataset.most);
  const state = document.getElementById("live");
  const lost = document.getElementById("lost");
  const waiting = document.getElementById("new");
  let cursor = wall.dataset.cursor;
  let held = new Map();
  let timer = 0;
  let source = null;

  function show(name, words) {
    state.dataset.state = name;
    state.textContent = words;
    lost.hidden = name !== "lost";
  }

  function place(id, html) {
    const shell = document.createElement("template");
    shell.innerHTML = html;  // made by the server, where everything in it was escaped
    const card = shell.content.firstElementChild;
    const old = document.getElementById(card.id);
    if (old) {
      const focused = old.contains(document.activeElement);
      old.replaceWith(card);
      if (focused) card.querySelector("a").focus();
    } else {
      card.firstElementChild.classList.add("fresh");
      wall.prepend(card);
      while (wall.children.length > most) wall.lastElementChild.remove();
      document.getElementById("empty")?.remove();
    }
    tellAges(card);
    mendPictures(card);
  }

  function change({ event_id: id, camera_id: at, status, html }) {
    const here = document.getElementById(`s-${id}`);
    if (status === "erased" || (status === "retracted" && !retracted)) {
      held.delete(id);
      here?.remove();
    } else if (here) {
      place(id, html);
    } else if (mode === "live" && (!camera || camera === at)) {
      // Nothing moves under the eyes of someone who has scrolled down to read.
      if (window.scrollY > 240) held.set(id, html);
      else place(id, html);
    }
    waiting.hidden = held.size === 0;
    waiting.textContent = held.size === 1 ? "1 new sighting" : `${held.size} new sightings`;
    sum();
  }

  function release() {
    for (const [id, html] of held) place(id, html);
    held = new Map();
    waiting.hidden = true;
  }
  waiting.addEventListener("click", () => { release(); window.scrollTo({ top: 0 }); });
  window.addEventListener("scroll", () => { if (window.scrollY <= 240 && held.size) release(); }, { passive: true });

  function sum() {
    if (timer) return;
    timer = setTimeout(async () => {
      timer = 0;
      try {
        const answer = await fetch("/stats", { headers: { accept: "application/json" } });
        if (!answer.ok) return;
        const stats = await answer.json();
        for (const place of document.querySelectorAll("[data-stat]")) {
          const value = stats[place.dataset.stat];
          if (value !== null) place.textContent = value.toLocaleString("en");
        }
        const latest = document.getElementById("latest");
        if (stats.latest_event) {
          const time = document.createElement("time");
          time.dateTime = stats.latest_event;
          time.dataset.age = "";
          latest.replaceChildren(time);
          tellAges(latest);
        }
      } catch { /* the stream itself tells when the connection is lost */ }
    }, 2000);
  }

  function connect() {
    source = new EventSource(`/live?since=${encodeURIComponent(cursor)}`);
    source.onopen = () => show("live", "Live");
    source.addEventListener("card", (message) => {
      cursor = message.lastEventId || cursor;
      change(JSON.parse(message.data));
    });
    source.addEventListener("reset", () => location.reload());
    source.onerror = () => {
      show("lost", "Connection lost");
      // The browser tries again by itself unless the answer was an error.
      if (source.readyState === EventSource.CLOSED) setTimeout(again, 3000);
    };
  }
  // A session that is over leads to the login page, and from there back here.
  async function again() {
    try {
      const answer = await fetch("/stats", { headers: { accept: "application/json" } });
      if (answer.status === 401) { location.reload(); return; }
    } catch { /* not back yet */ }
    connect();
  }
  connect();
  window.addEventListener("pagehide", () => source.close());
  window.addEventListener("pageshow", (shown) => { if (shown.persisted) connect(); });
}

// The reference: fill the address's parts, ask, show the answer.
for (const form of document.querySelectorAll("form[data-path]")) {
  form.addEventListener("submit", async (sent) => {
    sent.preventDefault();
    const given = new FormData(form);
    let path = form.dataset.path;
    const asked = new URLSearchParams();
    for (const [name, value] of given) {
      if (path.includes(`{${name}}`)) path = path.replace(`{${name}}`, encodeURIComponent(value));
      else if (value !== "") asked.append(name, value);
    }
    const address = asked.size ? `${path}?${asked}` : path;
    const shown = form.parentElement.querySelector("output pre");
    shown.hidden = false;
    shown.textContent = `GET ${address}\n\n…`;
    try {
      const answer = await fetch(address, { headers: { accept: "application/json" } });
      const text = await answer.text();
      let body = text;
      try { body = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: as it is */ }
      shown.textContent = `GET ${address}\n${answer.status} ${answer.statusText}\n\n${body}`;
    } catch (failure) {
      shown.textContent = `GET ${address}\n\n${failure}`;
    }
  });
}
