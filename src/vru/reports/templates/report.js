"use strict";
// Tables: a click on a heading sorts, typing filters. Without this script they are all there, in the report's own order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const key = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.value === undefined) return cell.textContent.trim();
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  for (const [column, heading] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const rising = heading.getAttribute("aria-sort") !== "ascending";
      for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [key(row, column), row]);
      // What is not known comes last, whichever way.
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
        return rising ? order : -order;
      });
      body.append(...rows.map(([, row]) => row));
    });
  }
}
const filter = (table) => {
  const words = (document.querySelector(`[data-filter="${table.id}"]`)?.value ?? "").toLowerCase().split(/\s+/);
  const slice = document.querySelector(`[data-slice="${table.id}"]`)?.value ?? "";
  for (const row of table.tBodies[0].rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word)) || (slice !== "" && row.cells[0].textContent !== slice);
  }
};
for (const control of document.querySelectorAll("[data-filter], [data-slice]")) {
  control.addEventListener("input", () => filter(document.getElementById(control.dataset.filter ?? control.dataset.slice)));
}

// Charts: the curve under the pointer is read out, a part that is dragged over is enlarged.
const SVG = "http://www.w3.org/2000/svg";
const short = (value) => (value === 0 ? "0" : Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3))));
for (const figure of document.querySelectorAll("figure[data-chart]")) {
  const { box, x, y, lines } = JSON.parse(document.getElementById("data").textContent)[figure.dataset.chart];
  const [left, right, bottom, top] = box;
  const [svg, readout, reset] = ["svg", ".readout", ".reset"].map((name) => figure.querySelector(name));
  const polylines = svg.querySelectorAll("polyline");
  const ticks = svg.querySelector(".ticks");
  const whole = { range: [x[0], x[1]], points: [...polylines].map((line) => line.getAttribute("points")), ticks: [...ticks.children] };
  const to = x[2] ? Math.log : (value) => value;
  const from = x[2] ? Math.exp : (value) => value;
  let range = whole.range;
  figure.dataset.live = "";

  const place = (value) => left + ((to(Math.min(Math.max(value, x[0]), x[1])) - to(range[0])) / (to(range[1]) - to(range[0]))) * (right - left);
  const value = (at) => from(to(range[0]) + ((at - left) / (right - left)) * (to(range[1]) - to(range[0])));
  const height = (share) => bottom + ((share - y[0]) / (y[1] - y[0])) * (top - bottom);
  const element = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, text] of Object.entries(attributes)) made.setAttribute(key, text);
    return made;
  };
  const cursor = element("line", { class: "cursor", y1: top, y2: bottom, visibility: "hidden" });
  const chosen = element("rect", { class: "chosen", y: top, height: bottom - top, width: 0 });
  const clip = element("clipPath", { id: `clip-${figure.dataset.chart}` });
  clip.append(element("rect", { x: left, y: top - 4, width: right - left, height: bottom - top + 8 }));
  svg.append(clip, cursor, chosen);
  for (const line of polylines) line.setAttribute("clip-path", `url(#${clip.id})`);

  const show = (next) => {
    const all = next === whole.range;
    range = next;
    reset.hidden = all;
    polylines.forEach((line, number) => {
      const points = lines[number].points.map(([a, b]) => `${place(a).toFixed(1)},${height(b).toFixed(1)}`).join(" ");
      line.setAttribute("points", all ? whole.points[number] : points);
    });
    if (all) return ticks.replaceChildren(...whole.ticks);
    const made = [0, 1, 2, 3, 4].map((step) => {
      const at = left + (step / 4) * (right - left);
      const text = whole.ticks[0].cloneNode();
      text.setAttribute("x", at);
      text.textContent = short(value(at));
      return text;
    });
    ticks.replaceChildren(...made);
  };
  const position = (event) => {
    const frame = svg.getBoundingClientRect();
    const at = ((event.clientX - frame.left) / frame.width) * svg.viewBox.baseVal.width;
    return Math.min(Math.max(at, left), right);
  };
  let start = null;
  svg.addEventListener("pointermove", (event) => {
    const at = position(event);
    if (start !== null) {
      chosen.setAttribute("x", Math.min(start, at));
      chosen.setAttribute("width", Math.abs(at - start));
    }
    const here = value(at);
    cursor.setAttribute("x1", at);
    cursor.setAttribute("x2", at);
    cursor.setAttribute("visibility", "visible");
    const said = lines.map(({ name, points }) => {
      // The last point at or before the pointer: the curves are staircases.
      const before = points.filter(([a]) => a <= here).at(-1) ?? points[0];
      return `${lines.length > 1 ? `${name}: ` : ""}${y[2]} ${short(before[1])}`;
    });
    readout.textContent = `${x[3]} ${short(here)}: ${said.join("; ")}`;
  });
  svg.addEventListener("pointerdown", (event) => {
    start = position(event);
    svg.setPointerCapture(event.pointerId);
  });
  const end = (event) => {
    const begun = start;
    start = null;
    chosen.setAttribute("width", 0);
    if (begun === null || event.type === "pointercancel") return;
    const at = position(event);
    if (Math.abs(at - begun) > 8) show([value(Math.min(begun, at)), value(Math.max(begun, at))]);
  };
  svg.addEventListener("pointerup", end);
  svg.addEventListener("pointercancel", end);
  svg.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    readout.textContent = "";
  });
  reset.addEventListener("click", () => show(whole.range));
}
