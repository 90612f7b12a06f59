"use strict";
codecbench.section("curves", (root, data) => {
  const { el, format } = codecbench;
  const place = root.querySelector(".plotting");
  if (!place || !data) return;
  const labels = Object.keys(data.datasets);
  const RATES = { bpp: "Bits per pixel", bpi: "Bits per image", bytes: "Bytes per image" };
  const STRETCHED = [0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 0.99999];
  const defaults = {
    dataset: labels[0], y: data.metrics.length ? data.metrics[0].name : "", x: "bpp", scale: "log", part: "whole", bars: "no", off: "",
  };
  const settings = { ...defaults };
  const hidden = new Set();

  const metricOf = (name) => data.metrics.find((metric) => metric.name === name);
  const take = (values) => {
    Object.assign(settings, defaults);
    const allowed = {
      dataset: labels, y: data.metrics.map((metric) => metric.name), x: Object.keys(RATES), scale: ["log", "linear"],
      part: data.payload ? ["whole", "payload"] : ["whole"], bars: data.intervals ? ["no", "yes"] : ["no"],
    };
    for (const [key, options] of Object.entries(allowed)) if (options.includes(values[key])) settings[key] = values[key];
    hidden.clear();
    if (values.off) for (const name of values.off.split("|")) hidden.add(name);
  };
  const keep = () => {
    settings.off = [...hidden].sort().join("|");
    codecbench.remember("curves", Object.fromEntries(
      Object.entries(settings).filter(([key, value]) => value !== defaults[key])));
  };

  // ---- what a point's numbers are, as the controls say ----------------------------------------------------------

  const rateKey = () => (settings.part === "payload" ? "p" : "") + (settings.x === "bpp" ? "bpp" : "bpi");
  const scaled = (value) => (value === null || value === undefined ? null : settings.x === "bytes" ? value / 8 : value);
  const rates = (points) => (points[rateKey()] || []).map(scaled);
  const stretch = (value) => (value === null || value === undefined ? null : -Math.log10(Math.max(1 - value, 1e-9)));
  const rateText = (value) => (settings.x === "bpp" ? format.significant(value, 4) : settings.x === "bytes" ? format.bytes(value) : format.whole(value));

  const qualityText = (metric, value) => {
    if (value === null || value === undefined) return "–";
    return `${metric.unit === "dB" ? format.db(value) : format.ssim(value)}${metric.unit ? ` ${metric.unit}` : ""}`;
  };
  const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const hover = (line, at) => {
    const points = line.points;
    const own = (key) => (points[key] ? points[key][at] : null);
    const span = (key, write, factor = 1) => {
      const ends = line.spread && line.spread[key];
      return ends && ends[0][at] !== null ? ` (${write(ends[0][at] * factor)} to ${write(ends[1][at] * factor)})` : "";
    };
    const rows = [
      `<b>${escape(line.name)}</b>${line.mark ? ` ${line.mark}` : ""}`,
      points.settings[at] ? escape(points.settings[at]) : null,
      `${format.bytes(own("bpi") / 8)} per image · ${format.significant(own("bpp"), 4)} bits/pixel${span("bpp", (value) => format.significant(value, 4))}`,
      own("pbpi") !== null ? `payload ${format.bytes(own("pbpi") / 8)}, container ${format.bytes((own("bpi") - own("pbpi")) / 8)}` : null,
      line.exact ? "every pixel restored" : null,
      ...(line.exact ? [] : data.metrics.filter((metric) => own(metric.name) !== null && (metric.name === settings.y || !line.over || !line.over[metric.name]))
        .map((metric) => `${escape(metric.title)} ${qualityText(metric, own(metric.name))}${span(metric.name, (value) => qualityText(metric, value))}`)),
      `${format.whole(points.images[at])} image${points.images[at] === 1 ? "" : "s"}${points.failed[at] ? `, ${points.failed[at]} failed` : ""}`,
    ];
    return rows.filter((row) => row !== null).join("<br>");
  };

  // ---- the plot -------------------------------------------------------------------------------------------------

  const holder = el("div", { class: "plot", role: "img" });
  const list = el("div", { class: "legend-list" });
  const said = el("p", { class: "said", "aria-live": "polite" });
  const controls = el("div", { class: "controls" });
  place.append(controls, holder, list, said);
  place.hidden = false;

  /* Rates and quality over the images that are compared by the chosen measure, where these are not all. */
  const same = (line) => {
    const own = line.over && line.over[settings.y];
    const { settings: names, failed, far } = line.points;
    return own ? { ...line, points: { settings: names, failed, far, ...own.points }, spread: own.spread } : line;
  };
  const lines = () => data.datasets[settings.dataset].lines.map(same);
  const shown = () => lines().filter((line) => !hidden.has(line.name));

  const bars = (line, key, factor, colour) => {
    const ends = line.spread && line.spread[key];
    if (settings.bars !== "yes" || !ends) return null;
    const middle = line.points[key];
    const arms = (side, sign) => side.map((end, at) => (end === null ? 0 : Math.max(0, sign * (end - middle[at]) * factor)));
    return { type: "data", symmetric: false, array: arms(ends[1], 1), arrayminus: arms(ends[0], -1), thickness: 1, width: 0, color: colour };
  };
  const stretchedBars = (line, key, colour) => {
    const ends = line.spread && line.spread[key];
    if (settings.bars !== "yes" || !ends) return null;
    const middle = line.points[key].map(stretch);
    const arms = (side, sign) => side.map((end, at) => (end === null ? 0 : Math.max(0, sign * (stretch(end) - middle[at]))));
    return { type: "data", symmetric: false, array: arms(ends[1], 1), arrayminus: arms(ends[0], -1), thickness: 1, width: 0, color: colour };
  };

  const traces = () => {
    const metric = metricOf(settings.y);
    const found = [];
    for (const line of shown()) {
      const look = codecbench.look(line.codec);
      const x = rates(line.points);
      if (!x.length || !line.exact && !(metric && line.points[metric.name])) continue;
      const smallest = Math.min(...x.filter((value) => value !== null));
      const values = line.exact ? x.map(() => 0) : line.points[metric.name];
      found.push({
        type: "scatter", name: line.name, meta: line.name, x, y: line.exact || !metric.stretch ? values : values.map(stretch),
        yaxis: line.exact ? "y2" : "y", mode: line.joined ? "lines+markers" : "markers", connectgaps: false,
        line: { color: look.colour, dash: line.dash, width: 1.8 },
        marker: {
          color: look.colour, symbol: line.foreign ? look.open : look.symbol,
          size: line.exact ? x.map((value) => (value === smallest ? 12 : 7)) : line.joined ? 7.5 : 10,
          opacity: line.exact ? x.map((value) => (value === smallest ? 1 : 0.35)) : 1,
          line: { color: line.foreign ? look.colour : codecbench.colour("card"), width: line.foreign ? 1.6 : 0.8 },
        },
        error_x: bars(line, rateKey(), settings.x === "bytes" ? 1 / 8 : 1, look.colour),
        error_y: line.exact ? null : metric.stretch ? stretchedBars(line, metric.name, look.colour) : bars(line, metric.name, 1, look.colour),
        text: x.map((_, at) => hover(line, at)), hovertemplate: "%{text}<extra></extra>", cliponaxis: true,
      });
    }
    return found;
  };

  /* far: 1 outside the usual rates and PSNR, 2 so near to 1 that an SSIM's axis would hold little else. */
  const away = (far, metric) => (metric && metric.stretch ? far > 0 : far % 2 === 1);
  /* The first view holds every point that is not marked as far away; a reader can zoom out to the others. */
  const ranges = () => {
    const metric = metricOf(settings.y);
    const x = [], y = [];
    for (const line of shown()) {
      rates(line.points).forEach((rate, at) => {
        const quality = line.exact ? 0 : metric && line.points[metric.name] ? line.points[metric.name][at] : null;
        if (away(line.points.far[at], metric) || rate === null || !(rate > 0) || quality === null || quality === undefined) return;
        x.push(rate);
        if (!line.exact) y.push(metric.stretch ? stretch(quality) : quality);
      });
    }
    const log = settings.scale === "log";
    const span = (values, least) => {
      if (!values.length) return null;
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const margin = Math.max(0.05 * (high - low), (least - (high - low)) / 2);
      return [low - margin, high + margin];
    };
    const rangeX = log ? span(x.map(Math.log10), 0.7) : x.length ? [0, 1.05 * Math.max(...x)] : null;
    const least = !metric ? 1 : metric.stretch ? 0.5 : metric.unit === "dB" ? 5 : 0.02;
    return [rangeX || (log ? [-1, 1] : [0, 1]), span(y, least) || [0, 1], y.length > 0];
  };

  const layout = () => {
    const { axis, layout: own } = codecbench.plotLayout();
    const metric = metricOf(settings.y);
    const exact = shown().some((line) => line.exact);
    const [rangeX, rangeY, lossy] = ranges();
    const raw = data.datasets[settings.dataset].raw;
    const ticks = metric && metric.stretch ? STRETCHED : null;
    const rawHere = settings.x === "bpp" && raw && (settings.scale === "log" ? Math.log10(raw) : raw);
    const shapes = [], annotations = [];
    if (rawHere && rawHere > rangeX[0] && rawHere < rangeX[1]) {
      shapes.push({ type: "line", xref: "x", yref: "paper", x0: raw, x1: raw, y0: 0, y1: 1, line: { color: codecbench.colour("soft"), width: 1, dash: "2px 3px" } });
      annotations.push({ x: rawHere, y: 0.01, xref: "x", yref: "paper", text: "raw pixels", showarrow: false, textangle: -90, xanchor: "right", yanchor: "bottom", font: { size: 11, color: codecbench.colour("soft") } });
    }
    if (exact) {
      shapes.push({ type: "rect", xref: "paper", yref: "paper", x0: 0, x1: 1, y0: 0.915, y1: 1, fillcolor: codecbench.colour("tint"), line: { width: 0 }, layer: "below" });
      annotations.push({ x: 0, y: 1, xref: "paper", yref: "paper", xanchor: "left", yanchor: "top", xshift: 5, yshift: -1, text: "every pixel restored", showarrow: false, font: { size: 11, color: codecbench.colour("soft") } });
    }
    if (!lossy) annotations.push({ x: 0.5, y: 0.45, xref: "paper", yref: "paper", text: "nothing lossy to draw here", showarrow: false, font: { color: codecbench.colour("soft") } });
    const unit = metric && metric.unit && !metric.title.includes(metric.unit) ? ` (${metric.unit})` : "";
    const better = metric && metric.better === "lower" ? ", lower is better" : "";
    return {
      ...own, shapes, annotations,
      margin: { ...own.margin, r: 10 },
      xaxis: {
        ...axis, type: settings.scale, range: rangeX, showline: true, anchor: "y",
        title: { ...axis.title, text: `${RATES[settings.x]}${settings.part === "payload" ? ", payload only" : ""}` },
        ...(settings.scale === "log" ? { dtick: rangeX[1] - rangeX[0] < (holder.clientWidth > 600 ? 3.6 : 2.2) ? "D2" : 1, tickformat: settings.x === "bpp" ? "~g" : ",~r" } : {}),
      },
      yaxis: {
        ...axis, range: rangeY, domain: exact ? [0, 0.9] : [0, 1], showline: true, zeroline: false,
        title: { ...axis.title, text: metric ? `${metric.title}${unit}${better}` : "" },
        ...(ticks ? { tickvals: ticks.map(stretch), ticktext: ticks.map(String) } : {}),
      },
      yaxis2: { ...axis, visible: false, domain: exact ? [0.915, 1] : [0, 0.001], range: [-1, 1], fixedrange: true },
      hovermode: "closest",
    };
  };

  let drawn = false;
  const draw = () => {
    const metric = metricOf(settings.y);
    const what = `${RATES[settings.x]} against ${metric ? metric.title : "nothing"} on ${settings.dataset}`;
    holder.setAttribute("aria-label", `Plot: ${what}. The tables of this page have its numbers.`);
    const { config } = codecbench.plotLayout();
    codecbench.plotly().react(holder, traces(), layout(), { ...config, toImageButtonOptions: { format: "svg", filename: `rates-${settings.dataset}` } });
    drawn = true;
    for (const own of root.querySelectorAll(".static")) own.hidden = own.dataset.dataset !== settings.dataset;
    const silent = [...new Set(shown().filter((line) => !line.points[rateKey()]).map((line) => line.name))];
    said.textContent = settings.part === "payload" && silent.length ? `Not drawn, because it is not known how many of their bytes are payload: ${silent.join(", ")}.` : "";
  };
  const redraw = () => { if (drawn) draw(); };

  // ---- legend ---------------------------------------------------------------------------------------------------

  const entries = () => {
    const found = new Map();
    for (const line of lines()) {
      const known = found.get(line.name);
      if (!known || (known.exact && !line.exact)) found.set(line.name, { ...line, some: Boolean(line.exact || (known && known.some)) });
      else known.some = known.some || line.exact;
    }
    return [...found.values()];
  };
  const GROUPS = {
    all: ["All", () => true],
    classical: ["Classical", (entry) => codecbench.look(entry.codec).kind !== "learned"],
    learned: ["Learned", (entry) => codecbench.look(entry.codec).kind === "learned"],
    lossless: ["Lossless", (entry) => entry.some],
  };
  const showOnly = (wanted) => {
    hidden.clear();
    for (const entry of entries()) if (!wanted(entry)) hidden.add(entry.name);
    changed();
  };
  const press = () => {
    for (const button of list.querySelectorAll(".entry")) button.setAttribute("aria-pressed", String(!hidden.has(button.dataset.name)));
    for (const button of list.querySelectorAll(".groups button")) {
      const own = GROUPS[button.value][1];
      button.setAttribute("aria-pressed", String(entries().every((entry) => own(entry) === !hidden.has(entry.name))));
    }
  };
  const fade = (name) => {
    if (!drawn || !holder.data) return;
    const opacity = holder.data.map((trace) => (name === null || trace.meta === name ? 1 : 0.15));
    if (opacity.length) codecbench.plotly().restyle(holder, { opacity });
  };
  const legend = () => {
    const groups = el("div", { class: "groups", role: "group", "aria-label": "Groups of codecs" });
    for (const [value, [title, wanted]] of Object.entries(GROUPS)) {
      const within = entries().filter(wanted).length;
      if (within && (value === "all" || within < entries().length)) groups.append(el("button", { type: "button", class: "quiet", value, onclick: () => showOnly(wanted) }, title));
    }
    const items = entries().map((entry) => {
      const several = entries().filter((other) => other.codec === entry.codec).length > 1;
      const rest = entry.name.startsWith(`${entry.codec} `) ? entry.name.slice(entry.codec.length + 1)
        : several && entry.exact ? "lossless" : "";
      const toggle = el("button", {
        type: "button", class: "entry", "data-name": entry.name,
        onclick: () => { if (hidden.has(entry.name)) hidden.delete(entry.name); else hidden.add(entry.name); changed(); },
      }, codecbench.swatch(entry.codec, { dash: entry.joined ? entry.dash : null, hollow: entry.foreign }),
      el("span", {}, entry.codec, entry.mark ? ` ${entry.mark}` : "", rest ? el("small", {}, rest.replaceAll(",", ", ")) : null));
      const only = el("button", { type: "button", class: "only", "aria-label": `Only ${entry.name}`, onclick: () => showOnly((other) => other.name === entry.name) }, "only");
      return el("li", { onmouseenter: () => fade(entry.name), onmouseleave: () => fade(null) }, toggle, only);
    });
    list.replaceChildren(groups, el("ul", { "aria-label": "Codecs" }, items));
    press();
  };

  // ---- controls -------------------------------------------------------------------------------------------------

  const set = (key) => (value) => { settings[key] = value; if (key === "dataset") legend(); changed(); };
  const build = () => {
    const made = [];
    if (labels.length > 1) made.push((labels.length > 3 ? codecbench.select : codecbench.choice)("Data", labels.map((label) => [label, label]), settings.dataset, set("dataset")));
    if (data.metrics.length > 1) made.push((data.metrics.length > 3 ? codecbench.select : codecbench.choice)("Quality", data.metrics.map((metric) => [metric.name, metric.title]), settings.y, set("y")));
    made.push(codecbench.select("Rate", Object.entries(RATES), settings.x, set("x")));
    if (data.payload) made.push(codecbench.choice("Of", [["whole", "whole file"], ["payload", "payload"]], settings.part, set("part")));
    made.push(codecbench.choice("Scale", [["log", "log"], ["linear", "linear"]], settings.scale, set("scale")));
    if (data.intervals) {
      const box = el("input", { type: "checkbox", checked: settings.bars === "yes", onchange: () => set("bars")(box.checked ? "yes" : "no") });
      made.push(el("label", { class: "field check" }, box, el("span", {}, "95 % intervals")));
    }
    controls.replaceChildren(...made);
  };
  const changed = () => { press(); redraw(); keep(); };

  take(codecbench.state("curves"));
  build();
  legend();
  codecbench.whenVisible(holder, draw);
  codecbench.onTheme(() => { legend(); redraw(); });
  codecbench.onState("curves", (values) => { take(values); build(); legend(); redraw(); });
  codecbench.onJump("curves", (detail) => {
    if (detail.dataset in data.datasets) settings.dataset = detail.dataset;
    hidden.clear();
    if (detail.codecs) for (const entry of entries()) if (!detail.codecs.includes(entry.codec)) hidden.add(entry.name);
    build();
    legend();
    changed();
  });
});
