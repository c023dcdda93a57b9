/* Questions of a round that are asked under a condition: shown and hidden as their condition's field is answered.
   The server decides the same way; without this file the page shows what the saved draft is asked. */
"use strict";
(() => {
  const form = document.getElementById("pitch");
  if (!form) return;
  /* In the order of the page: a question that is hidden answers nothing for those below it. */
  function show() {
    form.querySelectorAll(".asked[data-when]").forEach((place) => {
      const control = form.elements.namedItem(place.dataset.when);
      const asked = control && !control.closest("[hidden]") ? control.value : "";
      place.hidden = !JSON.parse(place.dataset.is).includes(asked);
    });
  }
  form.addEventListener("input", show);
  form.addEventListener("change", show);
  show();
})();
