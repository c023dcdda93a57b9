/* The little that pages need beyond HTML and htmx. No page depends on it: without it everything still works,
   only without copying, the theme button, plots and toasts that go away.

   Plots: <figure class="plot" data-plot="ID"> and a JSON script with that id (Django's json_script):
   {"label": "what the picture says", "unit": "USD",
    "series": [{"name": "Left", "style": "actual|plan|forecast|bars", "x": [...], "y": ["12.5", ...]}]}
   or {"label": ..., "figure": {"data": [...], "layout": {...}}}: a figure of the library, which gets its colours here.
   Amounts come as strings; plotly turns them into pixels and nothing else computes with them. */
"use strict";
(() => {
  const root = document.documentElement;
  const dark = () =>
    (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

  /* Theme: the choice is a cookie, so that the server renders the next page right at once. */
  function themeSet(theme) {
    root.dataset.theme = theme;
    document.cookie = `tank_theme=${theme}; path=/; max-age=31536000; samesite=lax`;
    themeLabel();
    plotsDraw();
  }
  function themeLabel() {
    document.querySelectorAll("[data-theme-button]").forEach((button) => {
      button.hidden = false;
      button.textContent = dark() ? "Light" : "Dark";
      button.setAttribute("aria-label", `Switch to the ${dark() ? "light" : "dark"} theme`);
    });
  }

  /* Toasts: said once, then gone; errors stay until they are closed. */
  function toast(text, kind = "success") {
    let place = document.querySelector(".toasts");
    if (!place) return;
    const box = document.createElement("div");
    box.className = `toast ${kind}`;
    const words = document.createElement("span");
    words.textContent = text;
    const close = document.createElement("button");
    close.type = "button";
    close.className = "close";
    close.setAttribute("aria-label", "Close");
    close.dataset.close = "";
    close.textContent = "×";
    box.append(words, close);
    place.append(box);
    fade(box);
  }
  function fade(box) {
    if (!box.classList.contains("error")) setTimeout(() => box.remove(), 12000);
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      if (!document.execCommand("copy")) return toast("Press Ctrl+C to copy what is selected.", "info");
    }
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 2000);
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-theme-button], [data-copy], [data-close], [data-open], [data-show]");
    if (!target) return;
    if ("themeButton" in target.dataset) themeSet(dark() ? "light" : "dark");
    else if (target.dataset.copy) copy(target);
    else if (target.dataset.open) document.getElementById(target.dataset.open).showModal();
    else if (target.dataset.show) document.getElementById(target.dataset.show).open = true;
    else if (target.closest("dialog")) target.closest("dialog").close();
    else target.closest(".toast")?.remove();
  });

  /* A form is sent once: a second click while the first is on its way does nothing. */
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.hasAttribute("hx-post") || form.method !== "post") return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    form.querySelectorAll("button[type=submit], button:not([type])").forEach((b) => b.setAttribute("aria-disabled", "true"));
  });
  addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => {
    delete form.dataset.sent;
    form.querySelectorAll("[aria-disabled]").forEach((b) => b.removeAttribute("aria-disabled"));
  }));

  /* Plots */
  const probe = document.createElement("i");
  const token = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const STYLES = {
    actual: { color: "--spent", width: 2.5, dash: "solid" },
    plan: { color: "--ink-2", width: 1.2, dash: "dash" },
    forecast: { color: "--spent", width: 2, dash: "dot" },
  };
  const trace = (series) => {
    const style = STYLES[series.style] || STYLES.actual;
    const common = { name: series.name, x: series.x, y: series.y, hovertemplate: "%{y}" };
    if (series.style === "bars") return { ...common, type: "bar", marker: { color: token("--spent") } };
    return { ...common, type: "scatter", mode: "lines", line: { color: token(style.color), width: style.width, dash: style.dash } };
  };
  /* The name stands at the end of its line, in its colour: no legend to look up. Where there is room it stands
     beside the plot; a line that ends in the middle, such as today's, has it above its end, and the forecast a line higher still. */
  const directLabel = (series, last, roomy) => {
    const beside = roomy && series.x[series.x.length - 1] === last;
    return {
      x: series.x[series.x.length - 1], y: Number(series.y[series.y.length - 1]), text: series.name, showarrow: false,
      xanchor: beside ? "left" : "right", yanchor: beside ? "middle" : "bottom", xshift: beside ? 6 : 0, yshift: beside ? 0 : series.style === "forecast" ? 19 : 5,
      font: { size: 11, color: token((STYLES[series.style] || STYLES.actual).color) },
    };
  };
  /* Names beside the plot that would lie on each other are moved apart; y is in dollars, height in pixels. */
  function spread(labels, most) {
    const beside = labels.filter((label) => label.xanchor === "left").sort((a, b) => a.y - b.y);
    beside.forEach((label, place) => {
      const below = beside[place - 1];
      if (!below) return;
      const gap = ((label.y - below.y) / most) * 190 - below.yshift;
      if (gap < 14) label.yshift = 14 - gap;
    });
    return labels;
  }
  const axisStyle = () => ({ zeroline: false, showline: false, fixedrange: true, color: token("--ink-2"), gridcolor: token("--line"), tickfont: { size: 11 } });
  const frame = () => ({
    height: 240, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", separators: ".,",
    font: { family: getComputedStyle(document.body).fontFamily, color: token("--ink-2"), size: 12 },
    hoverlabel: { bgcolor: token("--surface"), bordercolor: token("--line"), font: { color: token("--ink") } },
  });
  /* A whole figure: each trace gets the next colour, in the order in which tiers and envelopes have them. */
  const PALETTE = ["--spent", "--held", "--tier-frontier", "--tier-standard", "--tier-economy", "--tier-batch"];
  function wholeDraw(canvas, { data, layout }) {
    const traces = data.map((one, place) => {
      const color = token(PALETTE[place % PALETTE.length]);
      return { ...one, marker: { ...one.marker, color }, ...(one.type === "bar" ? {} : { line: { ...one.line, color } }) };
    });
    const axis = axisStyle();
    Plotly.react(canvas, traces, {
      ...frame(), margin: { l: 8, r: 8, t: 12, b: 8 }, bargap: .45, ...layout, showlegend: data.length > 1, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      xaxis: { ...axis, automargin: true, showgrid: false, ...layout.xaxis }, yaxis: { ...axis, automargin: true, ...layout.yaxis },
    }, { displayModeBar: false, responsive: true });
  }
  function plotDraw(figure) {
    const plot = JSON.parse(document.getElementById(figure.dataset.plot).textContent);
    const canvas = figure.querySelector(".canvas");
    if (plot.figure) wholeDraw(canvas, plot.figure);
    else seriesDraw(canvas, plot);
    figure.querySelector(".plain")?.remove();
  }
  function seriesDraw(canvas, plot) {
    const money = plot.unit === "USD";
    const series = plot.series.filter((one) => one.x.length);
    const lines = series.filter((one) => one.style !== "bars" && one.x.length > 1);
    const days = series.flatMap((one) => one.x).sort();
    const last = days[days.length - 1];
    const most = Math.max(...series.flatMap((one) => one.y.map(Number)), 0) || 1;
    const roomy = canvas.clientWidth > 420 && lines.length > 0;
    const labels = spread(lines.map((one) => directLabel(one, last, roomy)), most);
    const axis = axisStyle();
    const layout = {
      ...frame(), margin: { l: money ? 56 : 44, r: roomy ? 88 : 8, t: 12, b: 30 }, showlegend: false, hovermode: "x unified",
      xaxis: { ...axis, ...(lines.length ? { range: [days[0], last] } : {}), showgrid: false, nticks: roomy ? 6 : 4, tickangle: 0, ticklabelstandoff: 6 },
      yaxis: { ...axis, range: [0, most * 1.06], nticks: 5, tickprefix: money ? "$" : "", tickformat: most >= 10000 ? "~s" : most >= 10 ? "," : "", hoverformat: money ? ",.2f" : "," },
      annotations: labels,
    };
    Plotly.react(canvas, series.map(trace), layout, { displayModeBar: false, responsive: true });
  }
  function plotsDraw() {
    if (!window.Plotly) return;
    // In the admin the colours are those of the part that is ours.
    (document.querySelector(".tank") || document.body).append(probe);
    document.querySelectorAll("[data-plot]").forEach(plotDraw);
    probe.remove();
  }
  /* A page that puts a plot in later says so; the admin changes its theme by a class. */
  document.addEventListener("tank:plots", plotsDraw);
  new MutationObserver(plotsDraw).observe(root, { attributes: true, attributeFilter: ["class"] });

  /* htmx: a failed request is said, never swallowed */
  document.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    toast(status === 403 ? "The page is out of date: reload it and try again." : `That did not work (${status}). Nothing was changed.`, "error");
  });
  document.addEventListener("htmx:sendError", () => toast("Tank cannot be reached. What you typed is still here.", "error"));

  themeLabel();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { themeLabel(); plotsDraw(); });
  document.querySelectorAll(".toast").forEach(fade);
  document.querySelector(".nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  document.querySelector("[aria-invalid=true]")?.focus();
  plotsDraw();
})();
