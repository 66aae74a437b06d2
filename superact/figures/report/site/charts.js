// Vega-Lite charts: the library is run when the first chart is wanted. Expressions are interpreted, since a report may not eval.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const { el } = superact;
  const LEAST = 4.5;

  const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function config() {
    const [ink, muted, line] = ["--ink", "--muted", "--line"].map(variable);
    const font = variable("--font");
    const text = { labelColor: ink, titleColor: ink, labelFont: font, titleFont: font };
    return {
      background: "transparent",
      font,
      padding: 4,
      title: { anchor: "start", frame: "group", color: ink, subtitleColor: muted, font, subtitleFont: font, fontSize: 14, fontWeight: 600, subtitleFontSize: 12, offset: 10 },
      axis: { ...text, labelFontSize: 11, titleFontSize: 12, titleFontWeight: 500, gridColor: line, domainColor: muted, tickColor: muted, labelLimit: 260 },
      legend: { ...text, labelFontSize: 11, titleFontSize: 12, titleFontWeight: 500, labelLimit: 320, symbolSize: 90, symbolStrokeWidth: 2 },
      header: { ...text, labelFontSize: 12, labelFontWeight: 500, titleFontSize: 12 },
      view: { stroke: line },
      text: { font, color: ink },
    };
  }

  function parsed(text) {
    const match = /^#([0-9a-f]{6})$/i.exec(text);
    return match && [0, 2, 4].map((i) => parseInt(match[1].slice(i, i + 2), 16));
  }

  // A colour that is made for white paper, lightened until it stands out from a dark page.
  function lightened(text) {
    const rgb = parsed(text);
    const ground = parsed(variable("--page"));
    if (!rgb || !ground) return text;
    const { luminance } = superact.colours;
    let now = rgb;
    for (let step = 1; step <= 10 && (luminance(now) + 0.05) / (luminance(ground) + 0.05) < LEAST; step++) {
      now = rgb.map((own) => Math.round(own + ((255 - own) * step) / 10));
    }
    return `#${now.map((own) => own.toString(16).padStart(2, "0")).join("")}`;
  }

  // Words in the cells of a heatmap are black or white by the colour of the cell, which does not change.
  const isCellText = (node) => {
    const type = node.mark && (node.mark.type || node.mark);
    return type === "text" && node.encoding && node.encoding.color && node.encoding.color.condition;
  };

  function darkened(node) {
    if (typeof node === "string") return lightened(node);
    if (Array.isArray(node)) return node.map(darkened);
    if (node === null || typeof node !== "object" || isCellText(node)) return node;
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, key === "datasets" ? value : darkened(value)]));
  }

  // A place for charts: draw(spec) shows one, and again when the theme changes; draw(null, why) says why there is none.
  superact.chartBox = (id, label) => {
    const host = el("div", { class: "chart", id, role: "img", "aria-label": label });
    const box = el("div", { class: "scroll chart-box", role: "region", tabindex: "0", "aria-label": `${label}, chart` }, host);
    let spec = null;
    let view = null;
    let turn = 0;

    async function embed() {
      const own = ++turn;
      await superact.script("vendor/vega.js");
      if (own !== turn || !box.isConnected) return;
      const result = await window.vegaEmbed(host, superact.theme.isDark() ? darkened(spec) : spec, {
        ast: true,
        actions: false,
        defaultStyle: false,
        renderer: "svg",
        tooltip: false,
        logLevel: 1,
        mode: "vega-lite",
        config: config(),
      });
      if (own !== turn) {
        result.finalize();
        return;
      }
      if (view) view.finalize();
      view = result;
      host.dataset.drawn = String(own);
    }

    superact.theme.onChange(() => spec && box.isConnected && embed());
    return {
      box,
      async draw(wanted, why) {
        spec = wanted;
        if (wanted) {
          host.setAttribute("aria-label", wanted.description || label);
          await embed();
          return;
        }
        turn += 1;
        host.replaceChildren(el("p", { class: "note" }, why || "There is nothing to draw."));
        host.setAttribute("aria-label", why || "no chart");
      },
    };
  };
})();
