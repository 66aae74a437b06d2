// Elements and numbers as text. Whatever comes from data goes in as text or as an attribute, never as markup.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});

  // An element with attributes and children; `on` holds listeners, null and false leave an attribute or a child out.
  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on") {
        for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
      } else {
        node.setAttribute(name, value === true ? "" : String(value));
      }
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }

  const count = (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en-US"));
  const fixed = (x, digits = 2) => (x === null || x === undefined || Number.isNaN(x) ? "–" : x.toFixed(digits));

  // A score: four significant digits, which is what people compare by eye.
  function score(x) {
    if (x === null || x === undefined || Number.isNaN(x)) return "none";
    const size = Math.abs(x);
    return size !== 0 && (size < 0.001 || size >= 100000) ? x.toExponential(2) : String(Number(x.toPrecision(4)));
  }

  function bytes(n) {
    for (const unit of ["B", "kB", "MB", "GB"]) {
      if (n < 1000) return unit === "B" ? `${n} B` : `${n.toFixed(1)} ${unit}`;
      n /= 1000;
    }
    return `${n.toFixed(1)} TB`;
  }

  function seconds(n) {
    if (n < 100) return `${n.toFixed(1)} s`;
    return n < 6000 ? `${(n / 60).toFixed(1)} min` : `${(n / 3600).toFixed(1)} h`;
  }

  const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many || one + "s"}`;

  // Layers as the command line has them: four in a row and more as a span, 0-12.
  function spans(layers) {
    const ordered = [...layers].sort((a, b) => a - b);
    const parts = [];
    while (ordered.length) {
      let n = 1;
      while (ordered[n] === ordered[0] + n) n += 1;
      const own = ordered.splice(0, n < 4 ? 1 : n);
      parts.push(own.length > 1 ? `${own[0]}-${own[own.length - 1]}` : String(own[0]));
    }
    return parts.join(", ");
  }

  Object.assign(superact, { el, count, fixed, score, bytes, seconds, plural, spans });
})();
