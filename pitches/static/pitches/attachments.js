/* What attaching a file needs beyond HTML and htmx: a word before a file that is too large is sent, and how far it is. */
"use strict";
(() => {
  const part = () => document.getElementById("attachments");

  function complain(input, words) {
    const field = input.closest(".field");
    const box = field.querySelector(".errors") || field.appendChild(document.createElement("ul"));
    const line = document.createElement("li");
    line.textContent = words;
    box.className = "errors";
    box.id = `${input.id}_error`;
    box.setAttribute("role", "alert");
    box.replaceChildren(line);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", `${input.id}_helptext ${box.id}`);
    input.focus();
  }

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.id !== "attach") return;
    const input = part().querySelector("input[type=file]");
    const file = input && input.files[0];
    if (!file || file.size <= Number(input.dataset.largest)) return;
    event.preventDefault();
    complain(input, `${file.name} is larger than ${Number(input.dataset.largest) / 1e6} MB.`);
  });

  document.addEventListener("htmx:xhr:progress", (event) => {
    if (event.detail.elt?.id !== "attach" && event.target.id !== "attach") return;
    const place = part().querySelector(".upload-progress");
    if (!place || !event.detail.lengthComputable) return;
    place.hidden = false;
    place.querySelector("progress").value = (100 * event.detail.loaded) / event.detail.total;
  });

  /* Where the part was swapped while the file input had the focus, the keyboard goes on from there. */
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target?.id === "attachments") part().querySelector("input[type=file]")?.focus();
  });
})();
