// Corrections: what somebody says of a sighting goes to the log, and the page shows it.
"use strict";

(() => {
  const form = document.querySelector("form.correct");

  async function done(work, place, buttons) {
    tell(place, "");
    for (const button of buttons) button.disabled = true;
    try {
      await work();
      location.reload();
    } catch (failure) {
      tell(place, failure.message);
      for (const button of buttons) button.disabled = false;
    }
  }

  if (form) {
    const fields = { text: form.querySelector("[data-for='text']"), merge: form.querySelector("[data-for='merge']") };
    const shown = () => {
      for (const [kind, field] of Object.entries(fields)) field.hidden = form.elements.kind.value !== kind;
    };
    form.addEventListener("change", shown);
    shown();
    form.addEventListener("submit", (sent) => {
      sent.preventDefault();
      const kind = form.elements.kind.value;
      const said = { kind };
      const comment = form.elements.comment.value.trim();
      if (comment) said.comment = comment;
      if (kind === "text") said.text = form.elements.text.value.trim();
      // The whole address of the other sighting may be pasted.
      if (kind === "merge") said.other = form.elements.other.value.trim().replace(/^.*\/sightings\//, "");
      const field = kind === "text" ? form.elements.text : kind === "merge" ? form.elements.other : null;
      if (field && !field.value.trim()) { field.focus(); return; }
      const address = `/sightings/${form.dataset.sighting}/corrections`;
      done(() => send("POST", address, JSON.stringify(said)), form.querySelector(".wrong"), form.querySelectorAll("button"));
    });
  }

  document.addEventListener("click", (clicked) => {
    const undo = clicked.target.closest("button[data-undo]");
    if (undo) done(() => send("DELETE", undo.dataset.undo), document.getElementById("undo-wrong"), [undo]);
  });
})();
