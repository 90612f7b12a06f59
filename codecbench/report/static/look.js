"use strict";
/* The image browser: the same image through two codecs. Strips of lossless WebP become canvases, and everything that is
   shown, errors included, is drawn from their pixels, never smoothed. */
codecbench.section("look", (root, data) => {
  if (!data) return;
  const { el, format } = codecbench;
  const BLINK_MS = 600; // below three flashes a second (WCAG 2.3.1)
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const s = {
    d: 0, image: 0, a: { codec: LOOK.original, settings: "" }, b: { codec: LOOK.original, settings: "" }, match: "free",
    target: null, mode: "slider", zoom: 0, at: 50, factor: 0, x: 0, y: 0, playing: false, held: false, blink: false,
  };
  let touched = false;

  const seen = lookData(data, s);
  const { picture, set, shown, pointsOf, codecsOf, labelOf, pointOf, perPixel, named, described, nearestBytes, least } = seen;

  // ---- the controls ----------------------------------------------------------------------------------------------

  const place = root.querySelector(".look-app");
  const thumbs = el("div", { class: "look-thumbs", role: "group", "aria-label": "Images" });
  const about = el("p", { class: "look-about" });
  const missed = el("p", { class: "lacking", role: "status" });
  const sides = el("div", { class: "look-sides" });
  const near = el("p", { class: "look-near", "aria-live": "polite" });
  const stage = el("div", { class: "look-stage", tabindex: 0, role: "group", "aria-label": "Pictures" });
  const figures = el("div", { class: "look-figures" });
  const tools = el("div", { class: "look-tools" });
  const worst = el("details", { class: "look-worst" });

  const changed = () => { touched = true; show(); };
  const sideControls = (key) => {
    const side = s[key];
    const name = key.toUpperCase();
    const codecs = [[LOOK.original, "original"], ...codecsOf().map((own) => [own, labelOf(own)])];
    const fields = [codecbench.select(`${name}: codec`, codecs, side.codec, (value) => {
      side.codec = value;
      side.settings = "";
      changed();
    })];
    const points = side.codec === LOOK.original ? [] : pointsOf(side.codec);
    if (points.length) {
      const options = points.map((point) => [point.settings,
        `${point.short || "its one setting"} · ${format.bytes(point.bytes)}`]);
      fields.push(codecbench.select(`${name}: point`, options, side.settings, (value) => {
        side.settings = value;
        if (key === "b" || s.target !== null) { s.match = "free"; s.target = null; }
        changed();
      }));
    }
    return el("div", { class: `look-side look-${key}` }, fields);
  };
  const drawControls = () => {
    const focused = sides.contains(document.activeElement)
      ? [...sides.querySelectorAll("select, input, button")].indexOf(document.activeElement) : -1;
    const target = el("input", {
      type: "number", min: 0, step: "any", value: s.target === null ? "" : s.target, disabled: s.match === "free",
      placeholder: s.match === "free" ? "" : "A's own", onchange: () => {
        const value = parseFloat(target.value);
        s.target = Number.isFinite(value) && value > 0 ? value : null;
        changed();
      },
    });
    const unit = s.match === "psnr" ? "dB" : "bytes";
    sides.replaceChildren(
      sideControls("a"),
      sideControls("b"),
      el("div", { class: "look-side look-match" },
        codecbench.select("Match", [["free", "as chosen"], ["bytes", "equal bytes"], ["psnr", "equal PSNR"]], s.match,
          (value) => { s.match = value; s.target = null; changed(); }),
        el("label", { class: "field" }, el("span", {}, `Both near (${unit})`), target)));
    if (focused >= 0) {
      const again = sides.querySelectorAll("select, input, button")[focused];
      if (again) again.focus();
    }
    near.textContent = seen.nearness();
  };
  const drawThumbs = () => {
    const held = thumbs.contains(document.activeElement);
    thumbs.replaceChildren(...set().images.flatMap((image, number) => {
      if (image.row === null && number !== s.image) return [];
      const small = el("canvas", { width: image.w, height: image.h, "aria-hidden": "true" });
      picture(image, image).then((own) => small.getContext("2d").drawImage(own, 0, 0));
      return [el("button", {
        type: "button", "aria-pressed": String(number === s.image), title: named(image), "aria-label": named(image),
        onclick: () => { choose(number); changed(); },
      }, small)];
    }));
    const pressed = thumbs.querySelector("[aria-pressed=true]");
    if (held && pressed) pressed.focus();
  };
  const choose = (number) => { s.image = number; s.x = 0; s.y = 0; s.zoom = 0; missed.textContent = ""; };

  const drawFigures = () => {
    const points = [pointOf(s.a), pointOf(s.b)];
    const row = (title, write) => el("tr", {}, el("th", { scope: "row" }, title),
      points.map((point) => el("td", { class: "n" }, point ? write(point) : "–")));
    const raw = shown().full[0] * shown().full[1] * (shown().gray ? 1 : 3);
    const head = [s.a, s.b].map((side, at) => el("th", { scope: "col", class: "n" }, `${"AB"[at]}: `,
      side.codec === LOOK.original ? `original, ${format.whole(raw)} bytes as samples` : labelOf(side.codec)));
    figures.replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, el("td", {}), head)), el("tbody", {},
      row("Settings", (point) => el("span", { class: "settings" }, point.settings.replaceAll(",", ", ") || "–")),
      row("Bytes", (point) => format.whole(point.bytes)),
      row("Bits per pixel", (point) => format.rate(perPixel(point))),
      row("PSNR", (point) => (point.exact ? "every pixel restored" : `${format.db(point.psnr)} dB`)),
      row("SSIM", (point) => format.ssim(point.ssim)))));
  };

  const MODES = [["slider", "Slider"], ["side", "Side by side"], ["flicker", "Flicker"], ["error", "Errors"]];
  const drawTools = () => {
    const focused = tools.contains(document.activeElement) ? document.activeElement.dataset.name : "";
    const out = el("output", {}, `${s.zoom}×`);
    const zoom = el("input", {
      type: "range", min: 1, max: 16, step: 1, value: s.zoom, "data-name": "zoom", "aria-label": "Zoom",
      oninput: () => { zoomTo(Number(zoom.value)); out.textContent = `${s.zoom}×`; },
    });
    const hold = el("button", {
      type: "button", class: "quiet", "data-name": "hold",
      onpointerdown: () => held(true), onpointerup: () => held(false), onpointerleave: () => held(false),
      onkeydown: (event) => { if (" Enter".includes(event.key)) held(true); },
      onkeyup: () => held(false), onblur: () => held(false),
    }, "Hold for the original");
    const extra = [];
    if (s.mode === "flicker") {
      extra.push(el("button", {
        type: "button", class: "quiet", "aria-pressed": String(s.playing), "data-name": "play",
        onclick: () => play(!s.playing),
      }, s.playing ? "Stop the flicker" : "Start the flicker"));
    }
    if (s.mode === "error") {
      const options = [["0", "automatic"], ...[...LOOK.factors].reverse().map((factor) => [String(factor), `×${factor}`])];
      extra.push(codecbench.select("Amplified", options, String(s.factor), (value) => {
        s.factor = Number(value);
        draw();
      }));
    }
    tools.replaceChildren(
      codecbench.choice("View", MODES, s.mode, (value) => { view(value); touched = true; remember(); }),
      el("label", { class: "field look-zoom" }, el("span", {}, "Zoom"), el("span", {}, zoom, out)),
      ...extra,
      el("div", { class: "look-buttons" },
        el("button", { type: "button", class: "quiet", "data-name": "swap", onclick: swap }, "Swap A and B"), hold));
    if (focused) {
      const again = tools.querySelector(`[data-name="${focused}"]`);
      if (again) again.focus();
    }
  };
  const view = (mode) => {
    s.mode = mode;
    s.zoom = 0;
    play(mode === "flicker" && !calm.matches, true);
    drawTools();
    draw();
    const pressed = tools.querySelector(`button[value="${mode}"]`);
    if (pressed && tools.contains(document.activeElement)) pressed.focus();
  };
  const swap = () => {
    [s.a, s.b] = [s.b, s.a];
    if (s.target === null) s.match = "free";
    changed();
  };
  const held = (on) => { if (s.held !== on) { s.held = on; draw(); } };

  let timer = 0;
  const play = (on, quietly = false) => {
    window.clearInterval(timer);
    s.playing = on;
    s.blink = false;
    if (on) {
      timer = window.setInterval(() => {
        if (document.hidden || !loaded()) return;
        s.blink = !s.blink;
        draw();
      }, BLINK_MS);
    }
    if (!quietly) { drawTools(); draw(); }
  };

  // ---- the stage -------------------------------------------------------------------------------------------------

  const { load, draw, zoomTo, pan, loaded } = lookStage(root, stage, s, seen, (zoom) => {
    const slider = tools.querySelector("[data-name=zoom]");
    if (!slider || slider.value === String(zoom)) return;
    slider.value = zoom;
    slider.nextSibling.textContent = `${zoom}×`;
  });

  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (moves[event.key]) {
      if (!pan(...moves[event.key])) return;
    } else if (event.key === "+" || event.key === "=") zoomTo(s.zoom + 1);
    else if (event.key === "-") zoomTo(s.zoom - 1);
    else if (event.key === "f") { if (s.mode === "flicker") play(!s.playing); else { view("flicker"); play(true); } }
    else if (event.key === "s") swap();
    else if (event.key === "o") held(true);
    else if ("1234".includes(event.key)) view(MODES[Number(event.key) - 1][0]);
    else return;
    event.preventDefault();
  });
  stage.addEventListener("keyup", (event) => { if (event.key === "o") held(false); });
  stage.addEventListener("focusout", () => held(false));

  // ---- worst images ----------------------------------------------------------------------------------------------

  const drawWorst = () => {
    const own = set().cases.filter((one) => one.codec === one.of).sort((one, two) => one.rank - two.rank);
    worst.hidden = !own.length;
    const rows = [...new Set(own.map((one) => one.of))].map((name) => el("tr", {},
      el("th", { scope: "row" }, labelOf(name), el("small", {}, own.find((one) => one.of === name).short)),
      el("td", {}, own.filter((one) => one.of === name).map((one) => {
        const image = set().images[one.image];
        const text = `${named(image)}: ${one.cell[1] === null ? "exact" : `${one.cell[1].toFixed(1)} dB`}`;
        return el("button", { type: "button", class: "quiet", onclick: () => {
          open(one);
          changed();
          stage.scrollIntoView({ block: "nearest" });
        } }, text);
      }))));
    worst.replaceChildren(el("summary", {}, "Worst images of each codec",
      el("span", {}, "the lowest PSNR at the point with a mean nearest to 30 dB")),
    el("div", { class: "scroll" }, el("table", {}, el("tbody", {}, rows))));
  };
  /* A worst image: the codec whose it is against the one that was kept to compare with. */
  const open = (one) => {
    choose(one.image);
    s.match = "free";
    s.target = null;
    s.a = { codec: one.codec, settings: one.settings };
    const others = set().cases.filter((two) => two.image === one.image && two.of === one.of && two.codec !== one.of);
    const other = least(others, (two) => Math.abs(Math.log(two.cell[0] / one.cell[0])));
    s.b = other ? { codec: other.codec, settings: other.settings } : { codec: LOOK.original, settings: "" };
  };

  // ---- state -----------------------------------------------------------------------------------------------------

  const remember = () => {
    if (!touched) return;
    codecbench.remember("look", {
      dataset: set().label, image: shown().n, a: s.a.codec, as: s.a.settings, b: s.b.codec, bs: s.b.settings,
      match: s.match === "free" ? "" : s.match, target: s.target, view: s.mode === "slider" ? "" : s.mode,
    });
  };
  const show = () => {
    seen.settle();
    drawThumbs();
    drawControls();
    about.textContent = described();
    drawFigures();
    drawWorst();
    drawTools();
    load();
    remember();
  };
  /* The codec to begin with, and its rival: the best of the others at equal bytes. */
  const begin = () => {
    choose(0);
    const names = codecsOf();
    const lossy = names.filter((name) => pointsOf(name).some((point) => !point.exact));
    const first = lossy.includes(data.anchor) ? data.anchor : lossy[0] || names[0] || LOOK.original;
    s.a = { codec: first, settings: "" };
    s.b = { codec: LOOK.original, settings: "" };
    seen.settle();
    const a = pointOf(s.a);
    const others = lossy.filter((name) => name !== first).map((name) => [name, nearestBytes(pointsOf(name), a.bytes)]);
    const best = others.filter(([, point]) => point.bytes < 1.25 * a.bytes && !point.exact)
      .sort(([, one], [, two]) => two.psnr - one.psnr)[0] || others[0];
    if (best) {
      s.b = { codec: best[0], settings: best[1].settings };
      s.match = "bytes";
    } else {
      s.match = "free";
    }
  };
  const sideFrom = (asked, settings) => {
    if (!asked) return null;
    return typeof asked === "string" ? { codec: asked, settings: settings || "" }
      : { codec: asked.codec, settings: asked.settings || "" };
  };
  /* Opens what another section or the address asks for, or what is nearest to it, and says so. */
  const go = (detail) => {
    const d = data.datasets.findIndex((own) => own.label === detail.dataset);
    if (detail.dataset && d < 0) {
      missed.textContent = `This page has no pictures of ${detail.dataset}.`;
      return;
    }
    if (d >= 0 && d !== s.d) {
      s.d = d;
      begin();
      drawSets();
    }
    const [a, b] = [sideFrom(detail.a, detail.as), sideFrom(detail.b, detail.bs)];
    let said = "";
    if (detail.image !== undefined && detail.image !== null && detail.image !== "") {
      const n = Number(detail.image);
      const fits = set().images.map((image, at) => at).filter((at) => set().images[at].n === n);
      const best = fits.find((at) => a && codecsOf(at).includes(a.codec)) ?? fits[0];
      if (best === undefined) said = `Image ${detail.image} of ${set().label} is not in this page; the run folder has its row.`;
      else choose(best);
    }
    s.match = ["bytes", "psnr"].includes(detail.match) ? detail.match : "free";
    s.target = s.match !== "free" && Number(detail.target) > 0 ? Number(detail.target) : null;
    const names = codecsOf();
    const gone = [a, b].filter((side) => side && side.codec !== LOOK.original && !names.includes(side.codec));
    if (a) s.a = a;
    if (b) s.b = b;
    if (gone.length && !said) said = `Of ${gone.map((side) => side.codec).join(" and ")} this page has no picture of this image.`;
    if (detail.view && MODES.some(([mode]) => mode === detail.view)) s.mode = detail.view;
    if (a && b && !a.settings && !b.settings && !detail.match) s.match = "bytes";
    show();
    missed.textContent = said;
  };

  const sets = el("div", { class: "look-sets" });
  const drawSets = () => {
    sets.replaceChildren(...(data.datasets.length < 2 ? [] : [codecbench.choice("Images of",
      data.datasets.map((own) => [own.label, own.label]), set().label, (value) => {
        s.d = data.datasets.findIndex((own) => own.label === value);
        begin();
        changed();
      })]));
  };
  const keys = el("p", { class: "look-keys" },
    "With the pictures in focus: 1 to 4 choose the view, + and − zoom, arrows move, F flickers, S swaps, and O, held, "
    + "shows the original.");
  place.append(sets, thumbs, about, missed, el("div", { class: "look-columns" },
    el("div", { class: "look-seen" }, tools, stage, keys),
    el("div", { class: "look-told" }, sides, near, figures, worst)));
  begin();
  drawSets();
  codecbench.whenVisible(place, () => {
    if (!loaded()) show();
    new ResizeObserver(draw).observe(place);
  });
  const asked = codecbench.state("look");
  if (Object.keys(asked).length) go(asked);
  codecbench.onState("look", go);
  codecbench.onJump("look", (detail) => { touched = true; go(detail); });
});
