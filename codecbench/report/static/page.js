"use strict";
/* What the scripts of all sections share: elements, numbers, theme, state in the address, tables, drawing in time.
   Nothing here or in a section's script makes markup from data: texts become text nodes. */
const codecbench = (() => {
  const root = document.documentElement;
  const read = (id) => {
    const block = document.getElementById(id);
    return block ? JSON.parse(block.textContent) : null;
  };
  const base = read("codecbench-data");

  // ---- elements ------------------------------------------------------------------------------------------------

  /* el("button", {type: "button", class: "quiet", onclick: f}, "text", another): children are nodes or texts. */
  const el = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name === "style") Object.assign(made.style, value);
      else made.setAttribute(name, value === true ? "" : String(value));
    }
    for (const child of children.flat()) {
      if (child !== null && child !== undefined) made.append(child instanceof Node ? child : String(child));
    }
    return made;
  };

  /* A select with its label. options: [value, text] pairs, or texts. */
  const select = (label, options, value, onchange) => {
    const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
    const field = el("select", { onchange: () => onchange(field.value) },
      pairs.map(([own, text]) => el("option", { value: own, selected: own === value }, text)));
    return el("label", { class: "field" }, el("span", {}, label), field);
  };

  /* A row of buttons of which one is pressed. */
  const choice = (label, options, value, onchange) => {
    const group = el("div", { class: "choice", role: "group", "aria-label": label });
    const press = (own) => {
      for (const button of group.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(button.value === own));
      }
    };
    for (const [own, text] of options) {
      group.append(el("button", { type: "button", value: own, onclick: () => { press(own); onchange(own); } }, text));
    }
    press(value);
    group.press = press;
    return el("div", { class: "field" }, el("span", { "aria-hidden": "true" }, label), group);
  };

  // ---- numbers -------------------------------------------------------------------------------------------------

  const none = (value) => value === null || value === undefined || Number.isNaN(value);
  const dash = (write) => (value) => (none(value) ? "–" : write(value));
  const grouped = new Intl.NumberFormat("en-US"); // made once: toLocaleString makes one a call
  const whole = (value) => grouped.format(Math.round(value));
  const significant = (value, digits = 3) => {
    if (value === 0) return "0";
    const size = Math.floor(Math.log10(Math.abs(value)));
    if (size >= digits) return whole(Number(value.toPrecision(digits)));
    if (size < -4) return value.toExponential(digits - 1);
    return value.toFixed(Math.max(0, digits - 1 - size));
  };
  const format = {
    whole: dash(whole),
    significant: dash(significant),
    rate: dash((value) => (value < 10 ? value.toFixed(3) : value.toFixed(2))),
    db: dash((value) => value.toFixed(2)),
    percent: dash((value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(1)} %`),
    ssim: dash((value) => {
      for (const digits of [4, 5, 6]) if (value >= 1 || Number(value.toFixed(digits)) < 1) return value.toFixed(digits);
      return ">0.999999";
    }),
    seconds: dash((value) => {
      for (const [unit, scale] of [["s", 1], ["ms", 1e-3], ["µs", 1e-6]]) {
        if (value >= scale) return `${significant(value / scale)} ${unit}`;
      }
      return `${significant(value / 1e-6, 2)} µs`;
    }),
    bytes: dash((value) => (value < 10000 ? `${whole(value)} B`
      : value < 1e7 ? `${significant(value / 1024)} KiB` : `${significant(value / 1048576)} MiB`)),
  };

  // ---- theme ---------------------------------------------------------------------------------------------------

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const listeners = [];
  const theme = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const onTheme = (callback) => { listeners.push(callback); };
  const button = document.getElementById("theme");
  const themed = () => {
    button.textContent = theme() === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", theme() === "dark" ? "Light colours" : "Dark colours");
    for (const callback of listeners) callback(theme());
  };
  button.addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    try { localStorage.setItem("codecbench-theme", root.dataset.theme); } catch (refused) { /* no storage here */ }
    themed();
  });
  dark.addEventListener("change", themed);
  button.hidden = false;

  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  /* How a codec is drawn in this theme: {colour, symbol, open (the hollow symbol), kind}. */
  const look = (codec) => {
    const own = base.looks[codec] || { light: "#666666", dark: "#aaaaaa", symbol: "circle", kind: "classical" };
    return { colour: own[theme()], symbol: own.symbol, open: `${own.symbol}-open`, kind: own.kind };
  };

  const ring = (corners, radius, turn = 0) => Array.from({ length: corners }, (_, at) => {
    const angle = (2 * Math.PI * at) / corners - Math.PI / 2 + turn;
    const own = Array.isArray(radius) ? radius[at % radius.length] : radius;
    return `${(own * Math.cos(angle)).toFixed(2)},${(own * Math.sin(angle)).toFixed(2)}`;
  }).join(" ");
  const SHAPES = {
    square: "-4.4,-4.4 4.4,-4.4 4.4,4.4 -4.4,4.4",
    diamond: ring(4, 6),
    "diamond-tall": ring(4, [7, 3.8]),
    cross: "-2,-5.5 2,-5.5 2,-2 5.5,-2 5.5,2 2,2 2,5.5 -2,5.5 -2,2 -5.5,2 -5.5,-2 -2,-2",
    x: "0,-2.8 3,-5.6 5.6,-3 2.8,0 5.6,3 3,5.6 0,2.8 -3,5.6 -5.6,3 -2.8,0 -5.6,-3 -3,-5.6",
    "triangle-up": ring(3, 6), "triangle-down": ring(3, 6, Math.PI), "triangle-left": ring(3, 6, -Math.PI / 2),
    "triangle-right": ring(3, 6, Math.PI / 2), pentagon: ring(5, 5.6), hexagon: ring(6, 5.4), octagon: ring(8, 5.2, Math.PI / 8),
    star: ring(10, [6.6, 2.9]),
  };
  const STROKES = { dot: "2 3", dash: "7 4", longdash: "10 4", dashdot: "7 3 2 3", longdashdot: "10 3 2 3" };
  const svg = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
    return made;
  };
  /* How a codec looks, as a small picture for legends; dash: its line in Plotly's words, null for none. */
  const swatch = (codec, { dash = null, hollow = false } = {}) => {
    const own = look(codec);
    const made = svg("svg", { width: 34, height: 16, viewBox: "-17 -8 34 16", "aria-hidden": "true", class: "swatch" });
    if (dash) {
      const stroke = STROKES[dash] || (dash === "solid" ? "none" : dash.replaceAll("px", ""));
      made.append(svg("line", { x1: -17, x2: 17, y1: 0, y2: 0, stroke: own.colour, "stroke-width": 1.8, "stroke-dasharray": stroke }));
    }
    const ink = { fill: hollow ? colour("paper") : own.colour, stroke: own.colour, "stroke-width": hollow ? 1.6 : 0.5 };
    made.append(own.symbol in SHAPES ? svg("polygon", { points: SHAPES[own.symbol], ...ink }) : svg("circle", { r: 4.8, ...ink }));
    return made;
  };

  // ---- drawing when it is seen ---------------------------------------------------------------------------------

  const waiting = new Map();
  const seen = (element) => {
    const draw = waiting.get(element);
    waiting.delete(element);
    observer.unobserve(element);
    if (draw) draw();
  };
  const observer = new IntersectionObserver(
    (entries) => { // after the frame that is due, so that texts are read before plots are drawn
      for (const entry of entries) if (entry.isIntersecting) window.setTimeout(() => seen(entry.target));
    },
    { rootMargin: "400px 0px" });
  /* Calls back once, when the element is on the screen or nearly, or before the page is printed. */
  const whenVisible = (element, callback) => { waiting.set(element, callback); observer.observe(element); };
  window.addEventListener("beforeprint", () => { for (const element of [...waiting.keys()]) seen(element); });

  /* Plotly, which is large, and started by the first plot that is drawn. */
  const plotly = () => {
    const held = document.getElementById("plotly");
    if (held) {
      held.remove();
      document.head.append(el("script", {}, held.textContent));
    }
    return window.Plotly;
  };
  /* Plotly's layout for this theme; sections add their axes. */
  const plotLayout = () => {
    const ink = colour("ink"), soft = colour("soft"), line = colour("line");
    const axis = {
      color: soft, gridcolor: line, linecolor: line, zerolinecolor: line, tickfont: { color: soft, size: 12 },
      title: { font: { color: ink, size: 13 }, standoff: 8 }, automargin: true, fixedrange: false,
    };
    return {
      axis,
      layout: {
        font: { family: getComputedStyle(document.body).fontFamily, color: ink, size: 13 },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
        hoverlabel: { bgcolor: colour("card"), bordercolor: line, font: { color: ink, size: 12.5 }, align: "left" },
        margin: { l: 56, r: 14, t: 32, b: 48 },
        dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "zoom",
        modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: colour("accent") },
      },
      config: {
        responsive: true, displaylogo: false, displayModeBar: "hover", showTips: false, scrollZoom: false,
        modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
        toImageButtonOptions: { format: "svg" },
      },
    };
  };

  // ---- state in the address ------------------------------------------------------------------------------------
  // #curves?dataset=mnist&y=ssim~look?image=3: the first is where to scroll; a link brings all of them back.

  const states = {};
  const watchers = {};
  const parse = () => {
    const parts = decodeURI(window.location.hash.slice(1)).split("~").filter(Boolean);
    const found = parts.map((part) => {
      const [anchor, query] = part.split(/\?(.*)/s);
      return [anchor, query === undefined ? null : Object.fromEntries(new URLSearchParams(query))];
    });
    for (const [anchor, state] of found) if (state) states[anchor] = state;
    return found;
  };
  /* What the address says of a section: texts by name. */
  const state = (anchor) => ({ ...states[anchor] });
  /* Keeps a section's state in the address. values: what differs from the section's defaults. */
  const remember = (anchor, values) => {
    states[anchor] = Object.fromEntries(Object.entries(values).filter(([, value]) => !none(value) && value !== ""));
    const names = [anchor, ...Object.keys(states).filter((name) => name !== anchor)];
    const parts = names.filter((name) => name === anchor || Object.keys(states[name]).length).map((name) => {
      const query = new URLSearchParams(states[name]).toString();
      return query ? `${name}?${query}` : name;
    });
    try { window.history.replaceState(null, "", `#${parts.join("~")}`); } catch (refused) { /* too often */ }
  };
  /* Calls back when somebody follows a link into this page that has a state for the section. */
  const onState = (anchor, callback) => { watchers[anchor] = callback; };
  const scrollTo = (anchor) => {
    const target = document.getElementById(anchor);
    if (target) target.scrollIntoView();
  };
  let asked = [];
  try { asked = parse(); } catch (malformed) { /* a broken link shows the page as it is */ }
  window.addEventListener("hashchange", () => {
    let found = [];
    try { found = parse(); } catch (malformed) { return; }
    for (const [anchor, own] of found) if (own && watchers[anchor]) watchers[anchor](state(anchor));
    if (found.length && (found.length > 1 || found[0][1])) scrollTo(found[0][0]);
  });

  // ---- from one section to another -----------------------------------------------------------------------------

  const jumps = {};
  const early = {};
  /* Opens a section at something: jump("look", {dataset, image, a, b}). */
  const jump = (anchor, detail) => {
    if (jumps[anchor]) jumps[anchor](detail);
    else early[anchor] = detail;
    scrollTo(anchor);
  };
  /* What a section does when another jumps to it. */
  const onJump = (anchor, callback) => {
    jumps[anchor] = callback;
    if (anchor in early) { callback(early[anchor]); delete early[anchor]; }
  };
  const canJump = (anchor) => document.getElementById(anchor) !== null;

  // ---- sections ------------------------------------------------------------------------------------------------

  const section = (anchor, start) => {
    const place = document.getElementById(anchor);
    if (!place) return;
    try {
      start(place, read(`${anchor}-data`));
    } catch (error) {
      place.append(el("p", { class: "lacking" }, "This part of the page could not be started."));
      console.error(error);
    }
  };

  // ---- copying -------------------------------------------------------------------------------------------------

  const status = el("p", { class: "status", role: "status", "aria-live": "polite" });
  document.body.append(status);
  let silence = 0;
  const say = (text) => {
    status.textContent = text;
    window.clearTimeout(silence);
    silence = window.setTimeout(() => { status.textContent = ""; }, 2500);
  };
  /* Copies a text; where the browser refuses, shows it selected, below `near`. */
  const copy = async (text, near) => {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
    } catch (refused) {
      const area = el("textarea", { class: "copied", readonly: true, rows: 6, "aria-label": "Text to copy" });
      area.value = text;
      const shown = near.parentNode.querySelector("textarea.copied");
      if (shown) shown.replaceWith(area); else near.after(area);
      area.select();
      say("Press Ctrl+C to copy");
    }
  };

  // ---- the beginning -------------------------------------------------------------------------------------------

  themed();
  window.addEventListener("load", () => {
    if (asked.length) scrollTo(asked[0][0]);
    // Ready: every script is bound, and what is on the screen is drawn, which the observer starts after the first frame.
    const frame = window.requestAnimationFrame;
    frame(() => frame(() => window.setTimeout(() => { root.dataset.ready = ""; })));
  });

  return {
    base, el, select, choice, format, theme, onTheme, colour, look, swatch, whenVisible, plotly, plotLayout, state, remember, onState,
    jump, onJump, canJump, section, copy, say,
  };
})();
