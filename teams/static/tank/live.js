/* Keeps figures fresh. <div id="x" data-live="/address/" data-live-every="2">: the address answers a request with the
   header HX-Request with the inside of the element. Only what changed is replaced, cell by cell, so that the keyboard's
   place, a selection and an opened detail stay. Nothing is asked for while the tab is hidden or somebody paused it:
   <… data-live-control="x" hidden> with data-live-status and a button data-live-pause inside. <… data-live-still="x"> says
   what holds without this script, and goes. */
"use strict";
(() => {
  const PATIENCE = 10000;
  const LONGEST = 60000;

  function start(region) {
    const every = Number(region.dataset.liveEvery) * 1000;
    const control = document.querySelector(`[data-live-control="${region.id}"]`);
    const status = control?.querySelector("[data-live-status]");
    const button = control?.querySelector("[data-live-pause]");
    let paused = false, asking = false, misses = 0, timer = 0;

    const say = (words) => { if (status && status.textContent !== words) status.textContent = words; };
    const usual = () => `Every ${every / 1000} seconds`;
    const next = (wait) => { clearTimeout(timer); timer = setTimeout(refresh, wait); };
    const stop = (words) => { paused = true; clearTimeout(timer); say(words); if (button) button.hidden = true; };

    async function refresh() {
      if (paused || asking || document.hidden) return;
      asking = true;
      try {
        const answer = await fetch(region.dataset.live, {
          headers: { "HX-Request": "true" }, cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(PATIENCE),
        });
        if (answer.type === "opaqueredirect" || [401, 403, 404].includes(answer.status)) {
          return stop("You may not see this any more: reload the page.");
        }
        if (!answer.ok) throw new Error(`${answer.status}`);
        const html = await answer.text();
        if (!paused) patch(region, html);
        misses = 0;
        say(paused ? "Paused" : usual());
      } catch {
        misses += 1;
        say("Tank cannot be reached; trying again");
      } finally {
        asking = false;
      }
      next(Math.min(every * 2 ** misses, LONGEST));
    }

    button?.addEventListener("click", () => {
      paused = !paused;
      button.textContent = paused ? "Go on" : "Pause";
      say(paused ? "Paused" : usual());
      clearTimeout(timer);
      refresh();
    });
    document.addEventListener("visibilitychange", () => { clearTimeout(timer); refresh(); });
    if (control) control.hidden = false;
    document.querySelector(`[data-live-still="${region.id}"]`)?.remove();
    say(usual());
    next(every);
  }

  const parts = (root) => [...root.querySelectorAll("tr[id], [data-part][id]")];
  const ids = (root) => parts(root).map((part) => part.id).join(" ");

  function patch(region, html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").body;
    if (!ids(fresh) || ids(fresh) !== ids(region)) return replace(region, html);
    const after = parts(fresh);
    parts(region).forEach((part, place) => {
      if (part.tagName !== "TR") return change(part, after[place]);
      if (part.cells.length !== after[place].cells.length) { part.innerHTML = after[place].innerHTML; return; }
      [...part.cells].forEach((cell, column) => change(cell, after[place].cells[column]));
    });
  }
  function change(element, fresh) {
    if (element.innerHTML === fresh.innerHTML || element.querySelector("details[open]")) return;
    element.innerHTML = fresh.innerHTML;
  }

  /* Rows came or went: everything is new, but the keyboard stays where it was and tables stay scrolled. */
  function replace(region, html) {
    const here = region.contains(document.activeElement) ? document.activeElement : null;
    const tables = () => [...region.querySelectorAll(".wide")];
    const scrolled = new Map(tables().map((wide) => [name(wide), wide.scrollLeft]));
    region.innerHTML = html;
    tables().forEach((wide) => { wide.scrollLeft = scrolled.get(name(wide)) || 0; });
    const again = here && [...region.querySelectorAll(here.tagName)].find((one) => name(one) === name(here));
    again?.focus({ preventScroll: true });
  }
  const name = (one) => one.getAttribute("href") || one.getAttribute("aria-label") || one.textContent;

  document.querySelectorAll("[data-live]").forEach(start);
})();
