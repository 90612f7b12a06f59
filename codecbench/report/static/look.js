"use strict";
/* The image browser: the same image through two codecs. Strips of lossless WebP become canvases, and everything that is
   shown, errors included, is drawn from their pixels, never smoothed. */
codecbench.section("look", (root, data) => {
  if (!data) return;
  const { el, format } = codecbench;
  const ORIGINAL = "original";
  const BLINK_MS = 600; // below three flashes a second (WCAG 2.3.1)
  const FACTORS = [32, 16, 8, 4, 2, 1];
  const HELD_STRIPS = 24;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const s = {
    d: 0, image: 0, a: { codec: ORIGINAL, settings: "" }, b: { codec: ORIGINAL, settings: "" }, match: "free",
    target: null, mode: "slider", zoom: 0, at: 50, factor: 0, x: 0, y: 0, playing: false, held: false, blink: false,
  };
  let touched = false;

  // ---- pictures --------------------------------------------------------------------------------------------------

  const strips = new Map();
  const strip = (number) => {
    if (!strips.has(number)) {
      const image = new Image();
      image.src = `data:image/webp;base64,${data.strips[number]}`;
      strips.set(number, image.decode().then(() => image));
      if (strips.size > HELD_STRIPS) strips.delete(strips.keys().next().value);
    }
    return strips.get(number);
  };
  /* A part of a strip as a canvas of its own: {strip, y} of an image of w × h pixels. */
  const picture = async (source, image) => {
    const canvas = el("canvas", { width: image.w, height: image.h });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(await strip(source.strip), 0, source.y, image.w, image.h, 0, 0, image.w, image.h);
    return canvas;
  };
  const pixels = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const difference = (one, two) => {
    const [a, b] = [pixels(one).data, pixels(two).data];
    return a.map((value, at) => (at % 4 === 3 ? 0 : Math.abs(value - b[at]))); // stays within 0 to 255
  };
  const amplified = (found, factor, image) => {
    const canvas = el("canvas", { width: image.w, height: image.h });
    const context = canvas.getContext("2d");
    const drawn = context.createImageData(image.w, image.h);
    drawn.data.set(found.map((value, at) => (at % 4 === 3 ? 255 : value * factor))); // clamped
    context.putImageData(drawn, 0, 0);
    return canvas;
  };
  /* The strongest factor at which 99 % of the differences still fit. */
  const telling = (all) => {
    const counts = new Array(256).fill(0);
    let total = 0;
    for (const found of all) found.forEach((value, at) => { if (at % 4 !== 3) { counts[value] += 1; total += 1; } });
    let level = 255;
    for (let above = 0; level > 1; level -= 1) {
      above += counts[level];
      if (above > total / 100) break;
    }
    return FACTORS.find((factor) => factor * level <= 255) || 1;
  };

  // ---- what there is ---------------------------------------------------------------------------------------------

  const set = () => data.datasets[s.d];
  const shown = () => set().images[s.image];
  const cell = ([bytes, psnr, ssim]) => ({ bytes, psnr, ssim, exact: psnr === null });
  /* The points of a codec that have a picture of an image, by bytes. */
  const pointsOf = (name, number = s.image) => {
    const image = set().images[number];
    const codec = set().codecs.find((own) => own.name === name);
    const found = [];
    for (const point of image.row === null || !codec ? [] : codec.points) {
      const own = point.cells[image.row];
      if (!own) continue;
      const source = { strip: point.strip === null ? image.strip : point.strip, y: image.y };
      found.push({ settings: point.settings, short: point.short, ...cell(own), source });
    }
    for (const own of set().cases) {
      if (own.image === number && own.codec === name && !found.some((point) => point.settings === own.settings)) {
        found.push({ settings: own.settings, short: own.short, ...cell(own.cell), source: own });
      }
    }
    return found.sort((one, two) => one.bytes - two.bytes);
  };
  const codecsOf = (number = s.image) => {
    const names = [...set().codecs.map((codec) => codec.name), ...set().cases.map((own) => own.codec)];
    return [...new Set(names)].sort().filter((name) => pointsOf(name, number).length);
  };
  const labelOf = (name) => {
    const codec = set().codecs.find((own) => own.name === name);
    return codec ? `${codec.label}${codec.mark ? ` ${codec.mark}` : ""}` : name;
  };
  const pointOf = (side) => pointsOf(side.codec).find((point) => point.settings === side.settings) || null;
  const perPixel = (point) => (8 * point.bytes) / (shown().full[0] * shown().full[1]);

  // ---- matching --------------------------------------------------------------------------------------------------

  const nearestBytes = (points, bytes) => least(points, (point) => Math.abs(Math.log(point.bytes / bytes)));
  /* A point that restores every pixel is beyond any PSNR. */
  const nearestPsnr = (points, psnr) => least(points, (point) => {
    if (psnr === null) return point.exact ? 0 : 1000 - point.psnr;
    return point.exact ? 1000 : Math.abs(point.psnr - psnr);
  });
  const least = (points, far) => points.reduce((best, point) => (best && far(best) <= far(point) ? best : point), null);
  const nearest = (side, value) => {
    const points = pointsOf(side.codec);
    return s.match === "bytes" ? nearestBytes(points, value) : nearestPsnr(points, value);
  };
  const matched = () => {
    if (s.match === "free") return;
    if (s.target !== null) {
      for (const side of [s.a, s.b]) if (side.codec !== ORIGINAL) side.settings = nearest(side, s.target).settings;
      return;
    }
    const a = pointOf(s.a);
    if (a && s.b.codec !== ORIGINAL) s.b.settings = nearest(s.b, s.match === "bytes" ? a.bytes : a.psnr).settings;
  };
  /* Keeps to what there is of this image. */
  const settle = () => {
    const names = codecsOf();
    for (const side of [s.a, s.b]) {
      if (side.codec !== ORIGINAL && !names.includes(side.codec)) {
        side.codec = ORIGINAL;
        side.settings = "";
      }
      if (side.codec === ORIGINAL) continue;
      const points = pointsOf(side.codec);
      if (!points.some((point) => point.settings === side.settings)) {
        side.settings = points[Math.floor((points.length - 1) / 2)].settings;
      }
    }
    matched();
  };
  const nearness = () => {
    const [a, b] = [pointOf(s.a), pointOf(s.b)];
    if (!a || !b) return "";
    const aim = s.target === null || s.match === "free" ? "" : s.match === "bytes"
      ? ` Aimed at ${format.whole(s.target)} bytes.` : ` Aimed at ${format.db(s.target)} dB.`;
    const ratio = b.bytes / a.bytes;
    const change = Math.abs(100 * (ratio - 1));
    const size = ratio === 1 ? "B has as many bytes as A"
      : `B has ${change < 0.05 ? "under 0.1" : change.toFixed(1)} % ${ratio > 1 ? "more" : "fewer"} bytes than A`;
    const step = b.psnr - a.psnr;
    const quality = a.exact && b.exact ? "both restore every pixel"
      : a.exact || b.exact ? `${a.exact ? "A" : "B"} restores every pixel`
        : `its PSNR is ${Math.abs(step).toFixed(2)} dB ${step >= 0 ? "higher" : "lower"}`;
    const far = s.match === "bytes" ? Math.abs(Math.log(ratio)) > Math.log(1.1)
      : s.match === "psnr" && (a.exact !== b.exact || Math.abs(step) > 1);
    return `${size}; ${quality}.${aim}${far ? " No nearer point is in this page." : ""}`;
  };

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
    const codecs = [[ORIGINAL, "original"], ...codecsOf().map((own) => [own, labelOf(own)])];
    const fields = [codecbench.select(`${name}: codec`, codecs, side.codec, (value) => {
      side.codec = value;
      side.settings = "";
      changed();
    })];
    const points = side.codec === ORIGINAL ? [] : pointsOf(side.codec);
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
    near.textContent = nearness();
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
  const named = (image) => `image ${image.n}${image.class === null ? "" : `, class ${image.class}`}`;
  const described = () => {
    const image = shown();
    const [height, width] = image.full;
    const size = `${set().label}, ${named(image)}, ${width}×${height} pixels`;
    return image.w === width && image.h === height ? size
      : `${size}; here ${image.w}×${image.h} of them, from column ${image.left} and row ${image.top}; `
        + "the figures are those of the whole image";
  };
  const choose = (number) => { s.image = number; s.x = 0; s.y = 0; s.zoom = 0; missed.textContent = ""; };

  const drawFigures = () => {
    const points = [pointOf(s.a), pointOf(s.b)];
    const row = (title, write) => el("tr", {}, el("th", { scope: "row" }, title),
      points.map((point) => el("td", { class: "n" }, point ? write(point) : "–")));
    const raw = shown().full[0] * shown().full[1] * (shown().gray ? 1 : 3);
    const head = [s.a, s.b].map((side, at) => el("th", { scope: "col", class: "n" }, `${"AB"[at]}: `,
      side.codec === ORIGINAL ? `original, ${format.whole(raw)} bytes as samples` : labelOf(side.codec)));
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
      const options = [["0", "automatic"], ...[...FACTORS].reverse().map((factor) => [String(factor), `×${factor}`])];
      extra.push(codecbench.select("Amplified", options, String(s.factor), (value) => {
        s.factor = Number(value);
        draw();
      }));
    }
    tools.replaceChildren(
      codecbench.choice("View", MODES, s.mode, (value) => { view(value); touched = true; remember(); }),
      el("label", { class: "field look-zoom" }, el("span", {}, "Zoom"), el("span", {}, zoom, out)),
      ...extra,
      el("button", { type: "button", class: "quiet", "data-name": "swap", onclick: swap }, "Swap A and B"),
      hold);
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
        if (document.hidden || !current) return;
        s.blink = !s.blink;
        draw();
      }, BLINK_MS);
    }
    if (!quietly) { drawTools(); draw(); }
  };

  // ---- the stage -------------------------------------------------------------------------------------------------

  let current = null;
  let wanted = 0;
  const load = async () => {
    const mine = (wanted += 1);
    delete root.dataset.ready;
    const image = shown();
    const source = (side) => { const point = pointOf(side); return point ? point.source : image; };
    const [o, a, b] = await Promise.all([image, source(s.a), source(s.b)].map((own) => picture(own, image)));
    if (mine !== wanted) return; // something else was chosen meanwhile
    current = { image, o, a, b, errors: {} };
    draw();
    root.dataset.ready = "yes";
  };
  const errorOf = (key) => {
    if (!current.errors[key]) current.errors[key] = difference(current.o, current[key]);
    return current.errors[key];
  };
  /* What stands on the stage: for each pane the canvases with the part of the width up to which each is seen. */
  const panes = () => {
    const title = (key) => `${key.toUpperCase()}: ${s[key].codec === ORIGINAL ? "original" : labelOf(s[key].codec)}`;
    const seen = (key) => (s.held || (s.mode === "flicker" && s.blink) ? current.o : current[key]);
    const two = ["a", "b"].filter((key, at) => at === 0 || s[key].codec !== ORIGINAL);
    if (s.mode === "slider") return [{ title: `${title("a")} | ${title("b")}`, top: seen("a"), below: seen("b"), slider: true }];
    if (s.mode === "error") {
      const factor = s.factor || telling(two.map(errorOf));
      return two.map((key) => {
        const largest = errorOf(key).reduce((most, value) => Math.max(most, value), 0);
        return {
          title: `${title(key)}, errors ×${factor}, the largest ${largest} of 255`, factor,
          top: s.held ? current.o : amplified(errorOf(key), factor, current.image),
        };
      });
    }
    const blinking = s.mode === "flicker" && (s.blink || s.held);
    return (s.mode === "flicker" ? two : ["a", "b"]).map((key) => ({
      title: blinking || s.held ? `${title(key)}: now the original` : title(key), top: seen(key),
    }));
  };

  let layout = null;
  const arrange = (number) => {
    const image = current.image;
    const gap = 14;
    const room = stage.clientWidth;
    const stacked = number > 1 && (room < 560 || (image.w > 2 * image.h && room < 900));
    const width = number > 1 && !stacked ? (room - gap) / 2 : room;
    const height = Math.max(180, Math.min(560, 0.62 * window.innerHeight)) / (stacked ? 1.5 : 1);
    if (!s.zoom) s.zoom = Math.max(1, Math.min(16, Math.floor(Math.min(width / image.w, height / image.h))));
    layout = {
      width: Math.min(image.w * s.zoom, Math.floor(width)), height: Math.min(image.h * s.zoom, Math.floor(height)), stacked,
    };
    layout.pans = layout.width < image.w * s.zoom || layout.height < image.h * s.zoom;
    s.x = Math.max(0, Math.min(s.x, image.w - layout.width / s.zoom));
    s.y = Math.max(0, Math.min(s.y, image.h - layout.height / s.zoom));
  };
  const draw = () => {
    if (!current || !stage.clientWidth) return;
    const all = panes();
    arrange(all.length);
    if (stage.children.length !== all.length || stage.dataset.mode !== s.mode) build(all);
    stage.dataset.mode = s.mode;
    stage.classList.toggle("stacked", layout.stacked);
    stage.classList.toggle("pans", layout.pans);
    all.forEach((pane, at) => paint(stage.children[at], pane));
    const zoom = tools.querySelector("[data-name=zoom]");
    if (zoom && zoom.value !== String(s.zoom)) {
      zoom.value = s.zoom;
      zoom.nextSibling.textContent = `${s.zoom}×`;
    }
  };
  const build = (all) => {
    stage.replaceChildren(...all.map((pane) => {
      const canvas = el("canvas", { role: "img" });
      const frame = el("div", { class: "look-frame" }, canvas);
      drags(canvas, Boolean(pane.slider));
      const figure = el("figure", { class: "look-pane" }, el("figcaption", {}), frame);
      if (pane.slider) {
        frame.append(el("div", { class: "look-line", "aria-hidden": "true" }));
        const range = el("input", {
          type: "range", class: "look-range", min: 0, max: 100, step: "any", value: s.at,
          "aria-label": "How much of A is seen, from the left, in percent",
          oninput: () => { s.at = Number(range.value); draw(); },
          onkeydown: (event) => { // a step of "any" has no arrow keys of its own everywhere
            const step = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 }[event.key];
            if (!step) return;
            event.preventDefault();
            event.stopPropagation();
            slideTo(s.at + step);
          },
        });
        figure.append(range);
      }
      return figure;
    }));
  };
  const paint = (figure, pane) => {
    const canvas = figure.querySelector("canvas");
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(layout.width * ratio), Math.round(layout.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    Object.assign(canvas.style, { width: `${layout.width}px`, height: `${layout.height}px` });
    figure.style.width = `${layout.width}px`;
    const context = canvas.getContext("2d");
    const lay = (source) => {
      context.imageSmoothingEnabled = false;
      context.setTransform(ratio * s.zoom, 0, 0, ratio * s.zoom, -s.x * s.zoom * ratio, -s.y * s.zoom * ratio);
      context.drawImage(source, 0, 0);
    };
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (pane.slider) {
      lay(pane.below);
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.save();
      context.beginPath();
      context.rect(0, 0, Math.round((width * s.at) / 100), height);
      context.clip();
      lay(pane.top);
      context.restore();
      figure.querySelector(".look-line").style.left = `${s.at}%`;
      const range = figure.querySelector("input");
      if (Number(range.value) !== s.at) range.value = s.at;
      range.setAttribute("aria-valuetext", `${Math.round(s.at)} % ${s.a.codec}`);
    } else {
      lay(pane.top);
    }
    const caption = figure.querySelector("figcaption");
    if (caption.textContent !== pane.title) {
      caption.replaceChildren(...(pane.slider ? pane.title.split(" | ").map((text) => el("span", {}, text)) : [pane.title]));
    }
    canvas.setAttribute("aria-label", `${described()}, ${pane.title}`);
  };

  const slideTo = (at) => { s.at = Math.max(0, Math.min(100, at)); draw(); };
  const zoomTo = (zoom) => {
    if (!current || !layout) return;
    const [x, y] = [s.x + layout.width / s.zoom / 2, s.y + layout.height / s.zoom / 2];
    s.zoom = Math.max(1, Math.min(16, zoom));
    arrange(stage.children.length);
    s.x = x - layout.width / s.zoom / 2;
    s.y = y - layout.height / s.zoom / 2;
    draw();
  };
  const drags = (canvas, slider) => {
    let from = null;
    canvas.addEventListener("pointerdown", (event) => {
      const box = canvas.getBoundingClientRect();
      const line = Math.abs(event.clientX - box.left - (box.width * s.at) / 100) < 24;
      from = { x: event.clientX, y: event.clientY, left: s.x, top: s.y, slides: slider && (line || !layout.pans) };
      canvas.setPointerCapture(event.pointerId);
      if (from.slides) slideTo((100 * (event.clientX - box.left)) / box.width);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!from) return;
      const box = canvas.getBoundingClientRect();
      if (from.slides) {
        slideTo((100 * (event.clientX - box.left)) / box.width);
      } else {
        s.x = from.left - (event.clientX - from.x) / s.zoom;
        s.y = from.top - (event.clientY - from.y) / s.zoom;
        draw();
      }
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { from = null; });
  };

  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const far = Math.max(1, Math.round(32 / (s.zoom || 1)));
    const moves = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] };
    if (moves[event.key] && layout && layout.pans) {
      s.x += moves[event.key][0];
      s.y += moves[event.key][1];
      draw();
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
    s.b = other ? { codec: other.codec, settings: other.settings } : { codec: ORIGINAL, settings: "" };
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
    settle();
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
    const first = lossy.includes(data.anchor) ? data.anchor : lossy[0] || names[0] || ORIGINAL;
    s.a = { codec: first, settings: "" };
    s.b = { codec: ORIGINAL, settings: "" };
    settle();
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
    const gone = [a, b].filter((side) => side && side.codec !== ORIGINAL && !names.includes(side.codec));
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
    if (!current) show();
    new ResizeObserver(draw).observe(place);
  });
  const asked = codecbench.state("look");
  if (Object.keys(asked).length) go(asked);
  codecbench.onState("look", go);
  codecbench.onJump("look", (detail) => { touched = true; go(detail); });
});
