"use strict";
codecbench.section("speed", (root, data) => {
  const { el, format } = codecbench;
  const place = root.querySelector(".speeding");
  if (!place || !data) return;
  const labels = Object.keys(data.datasets);
  const TIMES = { encode_s: "Encoding time per image", decode_s: "Decoding time per image" };
  const defaults = { dataset: labels[0], at: data.first, machine: "0" };
  const settings = { ...defaults };
  const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  const take = (values) => {
    Object.assign(settings, defaults);
    if (labels.includes(values.dataset)) settings.dataset = values.dataset;
    if (data.levels.some(([key]) => key === values.at)) settings.at = values.at;
    if (data.machines[Number(values.machine)] !== undefined) settings.machine = values.machine;
  };
  const keep = () => codecbench.remember("speed", Object.fromEntries(
    Object.entries(settings).filter(([key, value]) => value !== defaults[key])));

  const rowsOf = (time) => ((data.datasets[settings.dataset].levels[settings.at] || {})[time] || []);
  const drawn = (time) => rowsOf(time).filter((row) => !row.status && (row.machine || 0) === Number(settings.machine));

  const holders = Object.fromEntries(Object.keys(TIMES).map((time) => [time, el("div", { class: "plot", role: "img" })]));
  const controls = el("div", { class: "controls" });
  const names = el("ul", { class: "names", "aria-label": "Codecs" });
  const said = el("p", { class: "said", "aria-live": "polite" });
  place.append(controls, ...Object.values(holders), names, said);
  place.hidden = false;

  const hover = (row) => [
    `<b>${escape(row.name)}</b>${row.mark ? ` ${row.mark}` : ""}`,
    row.settings ? escape(row.settings).replaceAll(" | ", "<br>and ") : null,
    `${format.significant(row.bpp, 4)} bits/pixel`,
    `${row.unsteady ? "~ " : ""}${format.seconds(row.cost)} per image${row.iqr ? `, rounds spread by ${format.seconds(row.iqr)}` : ""}`,
    row.psnr === undefined ? null : `PSNR ${format.db(row.psnr)} dB`,
    row.by ? `beaten by ${escape(row.by)}${row.clear ? "" : ", within the spread of the times"}` : null,
    row.front ? "on the front: no codec beats it in both" : null,
  ].filter((line) => line !== null).join("<br>");

  /* From point to point of the front in steps: between two of them nothing was measured. */
  const steps = (rows) => {
    const front = rows.filter((row) => row.front).sort((one, two) => one.bpp - two.bpp);
    return { x: front.map((row) => row.bpp), y: front.map((row) => row.cost), count: front.length };
  };
  const traces = (time) => {
    const rows = drawn(time);
    const found = [];
    const front = steps(rows);
    if (front.count > 1) {
      found.push({ type: "scatter", mode: "lines", name: "front", meta: "front", x: front.x, y: front.y, hoverinfo: "skip", line: { shape: "hv", width: 3, color: codecbench.colour("soft") }, opacity: 0.55 });
    }
    const named = new Set();
    for (const row of rows) {
      const name = row.front && !named.has(row.codec) ? row.codec : "";
      if (name) named.add(name);
      const look = codecbench.look(row.codec);
      const foreign = row.mark === "†";
      const strong = row.front || settings.at === "near";
      found.push({
        type: "scatter", mode: "markers+text", name: row.name, meta: row.name, x: [row.bpp], y: [row.cost],
        text: [`${row.unsteady ? "~ " : ""}${escape(name)}`], textposition: "top center",
        textfont: { size: 11.5, color: codecbench.colour("ink") }, hovertext: [hover(row)], hoverinfo: "text",
        opacity: strong ? 1 : 0.6, cliponaxis: false,
        marker: {
          color: look.colour, symbol: foreign ? look.open : look.symbol, size: strong ? 13 : 9,
          line: { color: foreign ? look.colour : codecbench.colour("card"), width: foreign ? 1.8 : 0.8 },
        },
      });
    }
    return found;
  };
  const span = (values, least) => {
    const logs = values.filter((value) => value > 0).map(Math.log10);
    if (!logs.length) return [-1, 1];
    const [low, high] = [Math.min(...logs), Math.max(...logs)];
    const margin = Math.max(0.1 * (high - low), (least - (high - low)) / 2, 0.12);
    return [low - margin, high + margin];
  };
  const ticks = (range) => {
    const found = [];
    for (let power = Math.floor(range[0]) - 1; power <= Math.ceil(range[1]); power += 1) {
      for (const own of range[1] - range[0] < 2.2 ? [1, 2, 5] : [1]) found.push(own * 10 ** power);
    }
    return found.filter((value) => Math.log10(value) >= range[0] && Math.log10(value) <= range[1]);
  };

  const draw = () => {
    const words = data.levels.find(([key]) => key === settings.at)[1];
    for (const [time, holder] of Object.entries(holders)) {
      const rows = drawn(time);
      const { axis, layout, config } = codecbench.plotLayout();
      const harness = data.datasets[settings.dataset].harness[time].find(([machine]) => machine === Number(settings.machine));
      const range = span([...rows.map((row) => row.cost), ...(harness && rows.length ? [harness[1]] : [])], 1);
      const rates = span(rows.map((row) => row.bpp), 0.7);
      const at = ticks(range);
      const shapes = [], annotations = [];
      if (harness && rows.length) {
        shapes.push({ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: harness[1], y1: harness[1], line: { color: codecbench.colour("soft"), width: 1, dash: "2px 3px" } });
        annotations.push({ x: 0, y: Math.log10(harness[1]), xref: "paper", yref: "y", text: "none: the harness itself", showarrow: false, xanchor: "left", yanchor: "top", font: { size: 11, color: codecbench.colour("soft") } });
      }
      if (!rows.length) annotations.push({ x: 0.5, y: 0.5, xref: "paper", yref: "paper", text: "no codec has a time here", showarrow: false, font: { color: codecbench.colour("soft") } });
      holder.setAttribute("aria-label", `Plot: ${TIMES[time]} against bits per pixel on ${settings.dataset}, ${words}. The table of speed below has numbers.`);
      codecbench.plotly().react(holder, traces(time), {
        ...layout, shapes, annotations, margin: { ...layout.margin, l: 66 },
        xaxis: { ...axis, type: "log", range: rates, showline: true, dtick: rates[1] - rates[0] < (holder.clientWidth > 500 ? 3 : 2.2) ? "D2" : 1, tickformat: "~g", title: { ...axis.title, text: `Bits per pixel, ${words}` } },
        yaxis: { ...axis, type: "log", range, showline: true, tickvals: at, ticktext: at.map((value) => format.seconds(Number(value.toPrecision(3)))), title: { ...axis.title, text: TIMES[time] } },
      }, { ...config, toImageButtonOptions: { format: "svg", filename: `${time}-${settings.dataset}` } });
    }
    const all = Object.keys(TIMES).flatMap(drawn);
    const once = [...new Map(all.map((row) => [row.codec, row])).values()].sort((one, two) => (one.codec < two.codec ? -1 : 1));
    names.replaceChildren(...once.map((row) => el("li", {}, codecbench.swatch(row.codec, { hollow: row.mark === "†" }), `${row.codec}${row.mark ? ` ${row.mark}` : ""}`)));
    const lacking = rowsOf("encode_s").filter((row) => row.status);
    const reasons = new Map();
    for (const row of lacking) {
      const reason = row.status.replace("not available: ", "");
      reasons.set(reason, [...(reasons.get(reason) || []), row.name]);
    }
    said.textContent = reasons.size ? `Not here: ${[...reasons].map(([reason, who]) => `${who.join(", ")} (${reason})`).join("; ")}.` : "";
  };
  let visible = false;
  const changed = () => { if (visible) draw(); keep(); };
  const set = (key) => (value) => { settings[key] = value; changed(); };
  const build = () => {
    const made = [];
    if (labels.length > 1) made.push((labels.length > 3 ? codecbench.select : codecbench.choice)("Data", labels.map((label) => [label, label]), settings.dataset, set("dataset")));
    made.push(codecbench.choice("At equal quality", data.levels, settings.at, set("at")));
    if (data.machines.length > 1) made.push(codecbench.select("Machine", data.machines.map((name, at) => [String(at), name]), settings.machine, set("machine")));
    controls.replaceChildren(...made);
  };
  take(codecbench.state("speed"));
  build();
  codecbench.whenVisible(place, () => { visible = true; draw(); });
  codecbench.onTheme(() => { if (visible) draw(); });
  codecbench.onState("speed", (values) => { take(values); build(); if (visible) draw(); });
});
