// Who travels with a plate is looked for after the page is there: it may take longer than all else.
"use strict";

for (const panel of document.querySelectorAll("[data-load]")) {
  const part = panel.querySelector("[data-part]");
  const link = part.innerHTML;
  part.textContent = "Looking who was near …";
  (async () => {
    const answer = await fetch(panel.dataset.load, { headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.querySelector("[data-part]");
    if (!answer.ok || !found) throw new Error(page.querySelector(".empty p")?.textContent || "It cannot be told at the moment.");
    part.replaceChildren(...found.childNodes);
  })().catch((failure) => {
    part.innerHTML = link;
    const told = document.createElement("p");
    told.className = "wrong small";
    told.textContent = failure.message;
    part.append(told);
  });
}
