"use strict";
/* Every table of the class "sortable" sorts, filters, and is copied as CSV and as Markdown. */
(() => {
  const { el, copy } = codecbench;

  const words = (cell) => {
    const clone = cell.cloneNode(true);
    for (const extra of clone.querySelectorAll("small, .arrow")) extra.prepend(" ");
    return clone.textContent.replace(/\s+/g, " ").trim();
  };
  /* The number of a cell, or NaN: of its own data-value or of a <data value> in it. */
  const number = (cell) => {
    const own = cell.dataset.value !== undefined ? cell : cell.querySelector("data[value]");
    const text = own === null ? "" : own === cell ? own.dataset.value : own.getAttribute("value");
    return text === "" ? NaN : Number(text);
  };
  /* Cells by column, those that span several under each. */
  const spread = (row) => [...row.cells].flatMap((cell) => Array(cell.colSpan).fill(cell));

  const titles = (table) => {
    const rows = [...table.tHead.rows].map(spread);
    const last = rows[rows.length - 1];
    return last.map((cell, column) => {
      const above = rows.slice(0, -1).map((row) => row[column]).filter((own) => own && own.colSpan < 5);
      return [...above.map(words), words(cell)].filter(Boolean).join(" ");
    });
  };
  const shownRows = (table) => [...table.tBodies[0].rows].filter((row) => !row.hidden);

  const csv = (table) => {
    const quote = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const lines = [titles(table), ...shownRows(table).map((row) => spread(row).map((cell, at, all) => {
      if (all.indexOf(cell) !== at) return "";
      const value = number(cell);
      return Number.isNaN(value) ? words(cell).replace(/^–$/, "") : String(value);
    }))];
    return lines.map((line) => line.map(quote).join(",")).join("\n") + "\n";
  };
  const markdown = (table) => {
    const safe = (text) => text.replaceAll("\\", "\\\\").replaceAll("|", "\\|").replaceAll("<", "&lt;");
    const head = [...table.tHead.rows].map(spread).pop();
    const rule = head.map((cell) => (cell.classList.contains("n") ? "--:" : ":--"));
    const lines = shownRows(table).map((row) => spread(row).map((cell, at, all) => {
      if (all.indexOf(cell) !== at) return "";
      const text = safe(words(cell));
      return cell.classList.contains("best") ? `**${text}**` : text;
    }));
    return [titles(table).map(safe), rule, ...lines].map((line) => `| ${line.join(" | ")} |`).join("\n") + "\n";
  };

  const compare = (column, direction) => (one, two) => {
    const [first, second] = [one, two].map((row) => spread(row)[column]);
    const [low, high] = [number(first), number(second)];
    const numeric = !Number.isNaN(low) || !Number.isNaN(high);
    if (numeric) {
      if (Number.isNaN(low) || Number.isNaN(high)) return Number.isNaN(low) ? 1 : -1; // without a number: behind
      return direction * (low - high);
    }
    const [own, other] = [words(first), words(second)];
    if (own === "–" || other === "–") return (own === "–") - (other === "–");
    return direction * own.localeCompare(other, "en", { numeric: true });
  };

  const enhance = (table) => {
    if (table.dataset.enhanced || !table.tHead || !table.tBodies.length) return;
    table.dataset.enhanced = "yes";
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = spread(table.tHead.rows[table.tHead.rows.length - 1]);
    const sort = (column, direction) => {
      heads.forEach((head) => head.removeAttribute("aria-sort"));
      if (direction) heads[column].setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      body.append(...(direction ? [...original].sort(compare(column, direction)) : original));
    };
    if (original.length > 1) {
      heads.forEach((head, column) => {
        if (head.tagName !== "TH" || head.colSpan > 1 || !words(head)) return;
        const sorter = el("button", { type: "button", class: "sorter", title: head.title || null }, ...head.childNodes);
        sorter.addEventListener("click", () => {
          const now = head.getAttribute("aria-sort");
          sort(column, now === "ascending" ? -1 : now === "descending" ? 0 : 1);
        });
        head.removeAttribute("title");
        head.append(sorter);
      });
    }
    const frame = table.closest(".scroll") || table;
    const tools = el("div", { class: "tools" });
    if (original.length > 5) {
      const said = el("span", { class: "hits", "aria-live": "polite" });
      const filter = el("input", { type: "search", placeholder: "Filter rows", "aria-label": "Filter rows", oninput: () => {
        const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
        for (const row of original) {
          const text = row.textContent.toLowerCase();
          row.hidden = !wanted.every((word) => text.includes(word));
        }
        const left = original.filter((row) => !row.hidden).length;
        said.textContent = wanted.length ? `${left} of ${original.length}` : "";
      } });
      tools.append(filter, said);
    }
    tools.append(
      el("button", { type: "button", class: "quiet", onclick: () => copy(csv(table), tools) }, "Copy as CSV"),
      el("button", { type: "button", class: "quiet", onclick: () => copy(markdown(table), tools) }, "Copy as Markdown"));
    frame.after(tools);
  };

  const enhanceShown = (place) => {
    for (const table of place.querySelectorAll("table.sortable")) if (!table.closest("details:not([open])")) enhance(table);
  };
  /* Long tables lie in a noscript of a closed <details>, as text: most readers open none of them, and thousands of
     cells would take their time from all. It is markup of the page's own templates, escaped there. */
  const unfold = (details) => {
    const held = details.querySelector(":scope > noscript");
    if (held) held.replaceWith(...new DOMParser().parseFromString(held.textContent, "text/html").body.childNodes);
    enhanceShown(details);
  };
  document.addEventListener("toggle", (event) => { if (event.target.open) unfold(event.target); }, true);
  enhanceShown(document);

  Object.assign(codecbench, { enhance, csv, markdown });
})();
