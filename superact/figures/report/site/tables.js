// Tables that sort by their columns. A table scrolls inside its own box, so that a page never does sideways.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const { el } = superact;

  // columns: { title, value(row) to sort by, cell(row) text or nodes, number, best(row) }; the first names the row.
  // foot: rows that stay below. Returns the box.
  superact.table = ({ id, caption, columns, rows, foot, sort, empty }) => {
    const body = el("tbody");
    const table = el("table", { id }, el("caption", {}, caption));
    const heads = columns.map((column, place) => {
      const button = el("button", { type: "button", on: { click: () => pick(place) } }, column.title);
      return el("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": "none" }, button);
    });
    const state = { place: sort ? sort.place : null, down: sort ? sort.down : false };

    function line(row) {
      const cells = columns.map((column, place) => {
        const classes = [column.number ? "number" : "", column.best && column.best(row) ? "best" : ""].join(" ").trim();
        const content = [column.cell(row)].flat();
        return place === 0
          ? el("th", { scope: "row", class: classes || null }, ...content)
          : el("td", { class: classes || null }, ...content);
      });
      return el("tr", row.attributes || {}, ...cells);
    }

    function pick(place) {
      state.down = state.place === place ? !state.down : Boolean(columns[place].number);
      state.place = place;
      draw();
    }

    function draw() {
      const sorted = rows.slice();
      if (state.place !== null) {
        const value = columns[state.place].value || columns[state.place].cell;
        sorted.sort((a, b) => compare(value(a), value(b), state.down));
      }
      heads.forEach((head, place) => {
        const way = place !== state.place ? "none" : state.down ? "descending" : "ascending";
        head.setAttribute("aria-sort", way);
      });
      body.replaceChildren(...sorted.map(line));
      if (!rows.length) body.append(el("tr", {}, el("td", { colspan: columns.length }, empty || "Nothing.")));
    }

    table.append(el("thead", {}, el("tr", {}, ...heads)), body);
    if (foot && foot.length) table.append(el("tfoot", {}, ...foot.map(line)));
    draw();
    return el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption }, table);
  };

  // What is not there comes last, whichever way it is sorted.
  function compare(a, b, down) {
    const lacks = (value) => value === null || value === undefined || Number.isNaN(value);
    if (lacks(a) || lacks(b)) return Number(lacks(a)) - Number(lacks(b));
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return down ? -order : order;
  }
})();
