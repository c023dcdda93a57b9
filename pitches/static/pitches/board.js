/* The board lives: what another member moves stands here within two seconds, and a move of one's own at once. Rows glide
   to their new places; the keyboard's place, an open detail and the scroll stay. Without this script the page still
   works: every move is a form. */
"use strict";
(() => {
  const board = document.getElementById("board");
  if (!board) return;
  const EVERY = 2000, PATIENCE = 15000, LONGEST = 60000, QUIET = 500, SLIDE = 120;
  const form = document.getElementById("board-move");
  const slider = document.getElementById("board-slider");
  const exact = document.getElementById("board-exact");
  const list = document.getElementById("board-list");
  const status = board.querySelector("[data-live-status]");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const dollars = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", minimumFractionDigits: 2 });
  let sliding = 0, sending = false, again = false, misses = 0, timer = 0, quiet = 0, asked = 0;

  const known = new Map();
  const remember = (row) => known.set(row.id, [...row.cells].map((cell) => cell.innerHTML));
  [...list.rows].forEach(remember);

  const header = { "HX-Request": "true" };
  const say = (words) => { if (status.textContent !== words) status.textContent = words; };
  const shown = (value) => dollars.format(Number(value)).replace(/\.00$/, "");

  /* What the server says is new: parts by their id, rows by theirs. */
  function take(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    const facts = fresh.querySelector("[data-stamp]");
    if (!facts) return;
    const focus = placeOf(document.activeElement);
    board.dataset.stamp = facts.dataset.stamp;
    form.elements.version.value = facts.dataset.version;
    ["board-head", "board-said", "board-recused", "board-log"].forEach((id) => part(id, fresh));
    rows(fresh.getElementById("board-list"));
    if (!sliding && !again) cap(facts.dataset.cap);
    focus?.()?.focus({ preventScroll: true });
    if (facts.dataset.message) tell(facts.dataset.message);
    later();
  }
  function part(id, fresh) {
    const here = document.getElementById(id), there = fresh.getElementById(id);
    if (here.innerHTML === there.innerHTML) return;
    here.innerHTML = there.innerHTML;
    if (id !== "board-said") return;
    here.classList.remove("fresh");
    void here.offsetWidth;
    here.classList.add("fresh");
  }
  function cap(value) {
    slider.value = value;
    slider.setAttribute("aria-valuetext", shown(value));
    if (document.activeElement !== exact) exact.value = Number(value).toFixed(2);
  }
  function tell(words) {
    const said = document.getElementById("board-said");
    said.textContent = words;
    said.classList.add("bad");
    setTimeout(() => said.classList.remove("bad"), 8000);
  }

  /* Rows stay the elements that they are; only cells that changed are written, and rows that moved glide. */
  function rows(fresh) {
    const before = new Map([...list.rows].map((row) => [row.id, row.getBoundingClientRect().top]));
    const here = new Map([...list.rows].map((row) => [row.id, row]));
    const order = [...fresh.rows].map((there) => {
      const row = here.get(there.id);
      if (!row || row.cells.length !== there.cells.length) { known.delete(there.id); return document.adoptNode(there); }
      change(row, there);
      return row;
    });
    if (order.some((row, place) => list.rows[place] !== row) || list.rows.length !== order.length) list.replaceChildren(...order);
    order.forEach((row) => { if (!known.has(row.id)) remember(row); });
    if (!still.matches) order.forEach((row) => glide(row, before.get(row.id)));
  }
  function change(row, there) {
    const was = known.get(row.id);
    const moved = row.classList.contains("in") !== there.classList.contains("in") || row.classList.contains("held") !== there.classList.contains("held");
    row.className = there.className;
    [...there.cells].forEach((cell, place) => {
      if (was[place] === cell.innerHTML) return;
      was[place] = cell.innerHTML;
      const price = row.cells[place].querySelector("[data-price]")?.textContent;
      row.cells[place].innerHTML = cell.innerHTML;
      const place_ = row.cells[place].querySelector("[data-price]");
      if (price && place_) place_.textContent = price;
    });
    if (moved) { void row.offsetWidth; row.classList.add("moved"); }
  }
  function glide(row, top) {
    const now = row.getBoundingClientRect().top;
    const seen = (y) => y > -200 && y < innerHeight + 200;
    if (top === undefined || Math.abs(now - top) < 2 || !(seen(now) || seen(top))) return;
    row.animate([{ transform: `translateY(${top - now}px)` }, { transform: "none" }], { duration: 420, easing: "cubic-bezier(.2,.7,.2,1)" });
  }
  /* A button that is written anew is found again by what it does. */
  function placeOf(element) {
    if (!element || !board.contains(element)) return null;
    const row = element.closest("tr[id]"), value = element.value, name = element.name;
    return () => {
      if (document.contains(element)) return element === document.activeElement ? null : element;
      const again_ = row && document.getElementById(row.id);
      return again_?.querySelector(`[name="${name}"][value="${CSS.escape(value)}"]`) || again_?.querySelector("button, a");
    };
  }

  /* Moves */
  async function send(target, data) {
    if (sending) { again = true; return; }
    sending = true;
    board.classList.add("is-busy");
    try {
      const answer = await fetch(target.action, { method: "POST", body: data, headers: header, signal: AbortSignal.timeout(PATIENCE) });
      const type = answer.headers.get("Content-Type") || "";
      if (answer.redirected) return location.reload();
      if (answer.ok || answer.status === 409 || answer.status === 422) take(await answer.text());
      else tell(type && answer.status === 403 ? "The page is out of date: reload it and try again." : `That did not work (${answer.status}). Nothing was moved.`);
      if (answer.ok && target.id === "board-note") target.reset();
    } catch {
      tell("Tank cannot be reached. Nothing was moved.");
    } finally {
      sending = false;
      board.classList.remove("is-busy");
    }
    if (again) { again = false; slide(); }
  }
  function slide() {
    const data = new FormData(form);
    data.set("cap", slider.value);
    data.set("move", "slide");
    sliding = 0;
    send(form, data);
  }
  slider.addEventListener("input", () => {
    slider.setAttribute("aria-valuetext", shown(slider.value));
    exact.value = slider.value;
    const title = board.querySelector("[data-cap-shown]");
    if (title) title.textContent = shown(slider.value);
    clearTimeout(sliding);
    sliding = setTimeout(slide, SLIDE);
  });
  board.addEventListener("submit", (event) => {
    event.preventDefault();
    event.stopPropagation();
    send(event.target, new FormData(event.target, event.submitter));
  });

  /* What others do */
  async function look() {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      const url = `${board.dataset.live}?stamp=${encodeURIComponent(board.dataset.stamp)}&sort=${board.dataset.sort}`;
      const answer = await fetch(url, { headers: header, cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(PATIENCE) });
      if (answer.type === "opaqueredirect" || [401, 403, 404].includes(answer.status)) return say("You may not see this any more: reload the page.");
      if (answer.status === 205) return location.reload();
      if (!answer.ok) throw new Error(`${answer.status}`);
      if (answer.status !== 204) {
        const html = await answer.text();
        if (!sending && !sliding) take(html);
      }
      misses = 0;
      say("Live: what others move stands here within two seconds.");
    } catch {
      misses += 1;
      say("Tank cannot be reached; trying again.");
    }
    timer = setTimeout(look, Math.min(EVERY * 2 ** misses, LONGEST));
  }
  document.addEventListener("visibilitychange", look);

  /* What takes longer comes when the board has been quiet for a moment: the proof, the comparison, the curve, and what
     it costs to hold the pitches that are on the screen. */
  function later() {
    asked += 1;
    board.querySelectorAll("[data-price]").forEach((price) => { price.classList.add("old"); delete price.dataset.known; });
    clearTimeout(quiet);
    quiet = setTimeout(extras, QUIET);
  }
  async function extras() {
    const turn = asked;
    if (board.querySelector("[data-proof]")) await prove(turn);
    for (const place of board.querySelectorAll("[data-lazy]")) if (turn === asked) await fill(place, turn);
    await prices(turn);
  }
  async function ask(url) {
    try {
      const answer = await fetch(url, { headers: header, cache: "no-store", signal: AbortSignal.timeout(60000) });
      return answer.ok && answer.status === 200 ? answer : null;
    } catch { return null; }
  }
  async function prove(turn) {
    const answer = await ask(`${board.dataset.live}?proof&sort=${board.dataset.sort}`);
    if (!answer || turn !== asked) return;
    const html = await answer.text();
    if (turn !== asked || html.includes("data-proof")) return;
    take(html);
  }
  async function fill(place, turn) {
    const answer = await ask(place.dataset.lazy);
    if (!answer || turn !== asked) return;
    const html = await answer.text();
    const open = place.querySelector("details")?.open;
    place.innerHTML = html;
    if (open && place.querySelector("details")) place.querySelector("details").open = true;
    place.removeAttribute("aria-busy");
    if (place.querySelector("[data-plot]")) document.dispatchEvent(new Event("tank:plots"));
  }
  const visible = (element) => { const box = element.getBoundingClientRect(); return box.bottom > 0 && box.top < innerHeight; };
  async function prices(turn) {
    const wanted = [...board.querySelectorAll("[data-price]:not([data-known])")].filter(visible).slice(0, 4);
    if (!wanted.length || turn !== asked || document.hidden) return;
    const answer = await ask(`${board.dataset.prices}?${wanted.map((one) => `p=${one.dataset.price}`).join("&")}`);
    if (!answer || turn !== asked) return;
    const found = await answer.json();
    wanted.forEach((one) => {
      one.innerHTML = found[one.dataset.price] || "";
      one.classList.remove("old");
      one.dataset.known = "1";
    });
    await prices(turn);
  }
  let scrolled = 0;
  addEventListener("scroll", () => { clearTimeout(scrolled); scrolled = setTimeout(() => prices(asked), 300); }, { passive: true, capture: true });

  /* For the projector */
  const full = board.querySelector("[data-full]");
  if (full && document.fullscreenEnabled) {
    full.hidden = false;
    full.addEventListener("click", () => { document.fullscreenElement ? document.exitFullscreen() : board.requestFullscreen(); });
    document.addEventListener("fullscreenchange", () => { full.textContent = document.fullscreenElement ? "Leave full screen" : "Fill the screen"; });
  }

  timer = setTimeout(look, EVERY);
  later();
})();
