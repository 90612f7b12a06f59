"use strict";
/* What the image browser shows, without its controls: pixels, the points of each codec, and which of them match.
   data: of the section; s: the state that the controls change. */
const LOOK = { original: "original", factors: [32, 16, 8, 4, 2, 1], heldStrips: 24 };
const lookData = (data, s) => {
  const { el, format } = codecbench;

  // ---- pictures --------------------------------------------------------------------------------------------------

  const strips = new Map();
  const strip = (number) => {
    if (!strips.has(number)) {
      const image = new Image();
      image.src = `data:image/webp;base64,${data.strips[number]}`;
      strips.set(number, image.decode().then(() => image));
      if (strips.size > LOOK.heldStrips) strips.delete(strips.keys().next().value);
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
    return LOOK.factors.find((factor) => factor * level <= 255) || 1;
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

  const named = (image) => `image ${image.n}${image.class === null ? "" : `, class ${image.class}`}`;
  const described = () => {
    const image = shown();
    const [height, width] = image.full;
    const size = `${set().label}, ${named(image)}, ${width}×${height} pixels`;
    return image.w === width && image.h === height ? size
      : `${size}; here ${image.w}×${image.h} of them, from column ${image.left} and row ${image.top}; `
        + "the figures are those of the whole image";
  };

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
      for (const side of [s.a, s.b]) if (side.codec !== LOOK.original) side.settings = nearest(side, s.target).settings;
      return;
    }
    const a = pointOf(s.a);
    if (a && s.b.codec !== LOOK.original) s.b.settings = nearest(s.b, s.match === "bytes" ? a.bytes : a.psnr).settings;
  };
  /* Keeps to what there is of this image. */
  const settle = () => {
    const names = codecsOf();
    for (const side of [s.a, s.b]) {
      if (side.codec !== LOOK.original && !names.includes(side.codec)) {
        side.codec = LOOK.original;
        side.settings = "";
      }
      if (side.codec === LOOK.original) continue;
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

  return {
    picture, difference, amplified, telling, set, shown, pointsOf, codecsOf, labelOf, pointOf, perPixel, named, described,
    nearestBytes, least, settle, nearness,
  };
};
