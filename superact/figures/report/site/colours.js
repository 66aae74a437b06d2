// Blue, white, red, centred on 0: readable by colour-blind readers, and the sign survives in words beside it.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const STOPS = [
    [33, 102, 172],
    [146, 197, 222],
    [247, 247, 247],
    [244, 165, 130],
    [178, 24, 43],
  ];

  // [red, green, blue] of a score, where +-limit are the ends.
  function diverging(value, limit) {
    const share = limit > 0 ? Math.max(-1, Math.min(1, value / limit)) : 0;
    const place = ((share + 1) / 2) * (STOPS.length - 1);
    const low = Math.min(STOPS.length - 2, Math.floor(place));
    return STOPS[low].map((from, i) => Math.round(from + (STOPS[low + 1][i] - from) * (place - low)));
  }

  function luminance(rgb) {
    const [r, g, b] = rgb.map((own) => {
      const share = own / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  // Black or white, whichever is read more easily on that ground.
  const ink = (rgb) => (luminance(rgb) > 0.179 ? "#000" : "#fff");
  const css = (rgb, alpha = 1) => `rgba(${rgb.join(", ")}, ${alpha})`;

  // The largest score by size, of which the scale is made.
  function limitOf(values) {
    let most = 0;
    for (const value of values) if (Math.abs(value) > most) most = Math.abs(value);
    return most;
  }

  function legend(limit) {
    const bar = superact.el("span", { class: "bar", role: "img", "aria-label": "blue for negative, white for 0, red for positive scores" });
    bar.style.background = `linear-gradient(to right, ${STOPS.map((rgb) => css(rgb)).join(", ")})`;
    const words = [-limit, 0, limit].map((value) => superact.el("span", {}, superact.score(value)));
    return superact.el("div", { class: "legend" }, bar, superact.el("div", { class: "ends" }, ...words));
  }

  superact.colours = { diverging, luminance, ink, css, limitOf, legend, LIME: "#00D000", YELLOW: "#FFD400" };
})();
