// The system's page asks again every few seconds, while somebody looks at it.
"use strict";

const parts = document.getElementById("parts");
const state = document.getElementById("live");
const lost = document.getElementById("lost");

function show(name, words) {
  state.dataset.state = name;
  state.textContent = words;
  lost.hidden = name !== "lost";
}

async function renew() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/system?live=true", { headers: { accept: "text/html" } });
    if (answer.status === 401 || answer.redirected) { location.reload(); return; }
    if (!answer.ok) throw new Error(answer.statusText);
    const html = await answer.text();
    // Who reads with the keyboard inside a part, or marks text in it, is left in peace.
    const busy = parts.contains(document.activeElement) || !getSelection().isCollapsed;
    if (!busy) {
      const before = [...parts.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
      parts.innerHTML = html;  // made by the server, where everything in it was escaped
      parts.querySelectorAll(".scroll").forEach((one, n) => { one.scrollLeft = before[n] || 0; });
    }
    show("live", "Live");
  } catch { show("lost", "Connection lost"); }
}
show("live", "Live");
setInterval(renew, 5000);
document.addEventListener("visibilitychange", renew);
