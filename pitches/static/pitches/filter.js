/* A field above a long list: typing leaves only the rows that hold every word. Without this file all rows stay. */
"use strict";
(() => {
  document.querySelectorAll("[data-filter]").forEach((place) => {
    const list = document.getElementById(place.dataset.filter);
    const input = place.querySelector("input");
    const said = place.querySelector("[role=status]");
    if (!list || !input) return;
    const rows = [...list.querySelectorAll("[data-row]")];
    const groups = [...list.querySelectorAll("[data-group]")];
    const words = new Map(rows.map((row) => [row, row.dataset.row.toLowerCase()]));
    function narrow() {
      const typed = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      rows.forEach((row) => {
        row.hidden = !typed.every((word) => words.get(row).includes(word));
        count += row.hidden ? 0 : 1;
      });
      groups.forEach((group) => {
        group.hidden = !group.querySelector("[data-row]:not([hidden])");
      });
      said.textContent = typed.length ? `${count} of ${rows.length} shown` : "";
    }
    input.addEventListener("input", narrow);
    /* Enter looks for a row here; it does not declare. */
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
    });
    place.hidden = false;
    narrow();
  });
})();
