// An image sample: the picture as the model saw it, and over it the scores of its patches and the outlines of what counts.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const { el } = superact;
  const DARK = "rgba(0, 0, 0, 0.85)";

  // Row and column of a token; without lists of them, the whole grid in order.
  function cell(grid, token, i) {
    return token.rows ? [token.rows[i], token.columns[i]] : [Math.floor(i / grid[1]), i % grid[1]];
  }

  // The outer boundary of a set of cells: the sides that no neighbour in the set shares, as [x1, y1, x2, y2] in cells.
  function boundary(inside) {
    const has = new Set(inside.map(([row, column]) => `${row},${column}`));
    const found = [];
    for (const [row, column] of inside) {
      if (!has.has(`${row - 1},${column}`)) found.push([column, row, column + 1, row]);
      if (!has.has(`${row + 1},${column}`)) found.push([column, row + 1, column + 1, row + 1]);
      if (!has.has(`${row},${column - 1}`)) found.push([column, row, column, row + 1]);
      if (!has.has(`${row},${column + 1}`)) found.push([column + 1, row, column + 1, row + 1]);
    }
    return found;
  }

  function outline(context, sides, unit, colour, width, dash) {
    for (const [style, own, line] of [[DARK, width + 2, []], [colour, width, dash]]) {
      context.beginPath();
      context.setLineDash(line);
      context.lineWidth = own;
      context.strokeStyle = style;
      context.lineCap = dash.length ? "butt" : "square";
      for (const [x1, y1, x2, y2] of sides) {
        context.moveTo(x1 * unit[0], y1 * unit[1]);
        context.lineTo(x2 * unit[0], y2 * unit[1]);
      }
      context.stroke();
    }
  }

  // given: { grid, token, scores, limit, superactivators, truth (places among the tokens), show: { heat, truth, superactivators }, opacity }
  function draw(canvas, given) {
    const box = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(box.width * ratio));
    canvas.height = Math.max(1, Math.round(box.height * ratio));
    const context = canvas.getContext("2d");
    const [rows, columns] = given.grid;
    const unit = [box.width / columns, box.height / rows];
    const at = Array.from({ length: given.n }, (_, i) => cell(given.grid, given.token, i));
    const { diverging, css, LIME, YELLOW } = superact.colours;
    if (given.show.heat && given.scores) {
      at.forEach(([row, column], i) => {
        context.fillStyle = css(diverging(given.scores[i], given.limit), given.opacity);
        // From pixel to pixel: between, cells would overlap or leave seams.
        const [left, right] = [column, column + 1].map((place) => Math.round((place * canvas.width) / columns));
        const [top, bottom] = [row, row + 1].map((place) => Math.round((place * canvas.height) / rows));
        context.fillRect(left, top, right - left, bottom - top);
      });
    }
    context.scale(ratio, ratio);
    if (given.show.truth) outline(context, boundary(given.truth.map((i) => at[i])), unit, YELLOW, 3.5, []);
    if (given.show.superactivators) outline(context, boundary(given.superactivators.map((i) => at[i])), unit, LIME, 2.8, []);
  }

  superact.imageView = () => {
    const picture = el("img", { class: "picture", alt: "", decoding: "async" });
    const canvas = el("canvas", { id: "overlay", role: "img" });
    const stack = el("div", { class: "stack" }, picture, canvas);
    let given = null;
    const watch = new ResizeObserver(() => given && draw(canvas, given));
    watch.observe(stack);
    return {
      node: stack,
      set(next) {
        given = next;
        picture.hidden = !next.source;
        if (next.source && picture.getAttribute("src") !== next.source) picture.setAttribute("src", next.source);
        stack.style.aspectRatio = `${next.grid[1]} / ${next.grid[0]}`;
        canvas.setAttribute("aria-label", next.label);
        canvas.dataset.superactivators = String(next.superactivators.length);
        canvas.dataset.truth = String(next.truth.length);
        draw(canvas, given);
      },
      leave: () => watch.disconnect(),
    };
  };
  superact.cellOf = cell;
  superact.boundary = boundary;
})();
