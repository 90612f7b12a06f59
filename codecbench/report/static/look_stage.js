"use strict";
/* The stage of the image browser: panes that hold canvases, zoomed in whole pixels, panned, and cut by the slider.
   stage: the element; s: the state; seen: of lookData; zoomed: called with the zoom after every drawing. */
const lookStage = (root, stage, s, seen, zoomed) => {
  const { el } = codecbench;
  const { picture, difference, amplified, telling, shown, pointOf, labelOf, described } = seen;

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
    const title = (key) => `${key.toUpperCase()}: ${s[key].codec === LOOK.original ? "original" : labelOf(s[key].codec)}`;
    const drawn = (key) => (s.held || (s.mode === "flicker" && s.blink) ? current.o : current[key]);
    const two = ["a", "b"].filter((key, at) => at === 0 || s[key].codec !== LOOK.original);
    if (s.mode === "slider") return [{ title: `${title("a")} | ${title("b")}`, top: drawn("a"), below: drawn("b"), slider: true }];
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
      title: blinking || s.held ? `${title(key)}: now the original` : title(key), top: drawn(key),
    }));
  };

  let layout = null;
  let fitted = null; // the image that the zoom was chosen for; null where the reader chose it
  const arrange = (number) => {
    const image = current.image;
    const gap = 14;
    const room = stage.clientWidth;
    const stacked = number > 1 && (room < 560 || (image.w > 2 * image.h && room < 900));
    const width = number > 1 && !stacked ? (room - gap) / 2 : room;
    const height = Math.max(180, Math.min(560, 0.62 * window.innerHeight)) / (stacked ? 1.5 : 1);
    if (!s.zoom || (fitted && fitted !== image)) {
      s.zoom = Math.max(1, Math.min(16, Math.floor(Math.min(width / image.w, height / image.h))));
      fitted = image;
    }
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
    zoomed(s.zoom);
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
    fitted = null;
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

  /* Moves the cut-out by some pixels of the screen; false where everything is seen. */
  const pan = (right, down) => {
    const far = Math.max(1, Math.round(32 / (s.zoom || 1)));
    if (!layout || !layout.pans) return false;
    s.x += far * right;
    s.y += far * down;
    draw();
    return true;
  };
  return { load, draw, zoomTo, pan, loaded: () => current !== null };
};
