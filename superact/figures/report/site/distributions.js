// Densities of the scores of one label at one layer, in and out of concept, with the tail beyond the threshold.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const { el, fixed, count } = superact;
  const SERIES = [
    ["out_of_concept", "out of concept"],
    ["in_concept", "in concept"],
  ];
  const TAIL = "in concept, superactivators";

  // As superact.figures.distributions.density: a step a bin from its lower edge on, the tail from the threshold on.
  function steps(cell, threshold) {
    const found = [];
    for (const [population, series] of SERIES) {
      if (!cell[population]) continue;
      const mass = superact.floats(cell[population]);
      const width = (cell.hi - cell.lo) / mass.length;
      const edge = (i) => (i === mass.length ? cell.hi : cell.lo + i * width);
      const heights = Array.from(mass, (own) => own / width);
      const add = (name, edges, own) => edges.forEach((x, i) => found.push({ series: name, x, density: own[Math.min(i, own.length - 1)] }));
      const all = heights.map((_, i) => i);
      add(series, [...all.map(edge), cell.hi], heights);
      if (population === "in_concept" && threshold !== null && threshold < cell.hi) {
        const start = Math.max(threshold, cell.lo);
        const kept = all.filter((i) => edge(i + 1) > start);
        add(TAIL, [start, ...kept.map((i) => edge(i + 1))], kept.map((i) => heights[i]));
      }
    }
    return found;
  }

  function put(spec, path, value) {
    const last = path[path.length - 1];
    path.slice(0, -1).reduce((own, key) => own[key], spec)[last] = value;
  }

  function filled(templates, cell, said) {
    const threshold = cell.separation ? cell.separation.threshold : null;
    const inside = threshold !== null && threshold >= cell.lo && threshold <= cell.hi;
    const side = !inside ? "none" : (threshold - cell.lo) / (cell.hi - cell.lo) < 0.5 ? "left" : "right";
    const template = templates[side];
    const spec = JSON.parse(JSON.stringify(template.spec));
    const drawn = steps(cell, threshold);
    if (!drawn.length) return null;
    const top = template.room * Math.max(...drawn.map((step) => step.density));
    template.x.forEach((path) => put(spec, path, [cell.lo, cell.hi]));
    template.y.forEach((path) => put(spec, path, [0, top]));
    spec.datasets[template.steps] = drawn;
    if (template.threshold) spec.datasets[template.threshold].forEach((row) => Object.assign(row, { x: threshold }));
    spec.concat.forEach((one) => Object.assign(one, { width: Math.min(640, Math.max(240, window.innerWidth - 120)), height: 260 }));
    delete spec.title;
    return { ...spec, description: said };
  }

  function separations(found, cells) {
    const number = (title, name, digits) => ({ title, number: true, value: (row) => row[name], cell: (row) => fixed(row[name], digits) });
    const whole = (title, name) => ({ title, number: true, value: (row) => row[name], cell: (row) => count(row[name]) });
    const rows = cells
      .filter(([, label, cell]) => label === found.label && cell.separation)
      .map(([layer, , cell]) => ({ layer, ...cell.separation, attributes: { "data-layer": layer, class: layer === found.layer.layer ? "here" : null } }));
    return superact.table({
      id: "separation-table",
      caption: `Separation of ${found.dataset.labels[found.label]} at every layer, on test`,
      rows,
      empty: "There are no separations: run superact eval distributions.",
      columns: [
        { title: "Layer", number: true, value: (row) => row.layer, cell: (row) => superact.layerName(row.layer, found.model.blocks) },
        { title: "Threshold", number: true, value: (row) => row.threshold, cell: (row) => superact.score(row.threshold) },
        { title: "Delta", number: true, value: (row) => row.delta, cell: (row) => (row.delta === null ? "–" : String(row.delta)) },
        number("Overlap", "overlap"),
        number("AUC", "auc"),
        number("Cohen's d", "cohens_d"),
        number("Tail mass", "tail_mass"),
        number("Tail coverage", "tail_coverage"),
        number("Tail precision", "tail_precision"),
        whole("Tokens in", "n_in"),
        whole("Tokens out", "n_out"),
      ],
    });
  }

  function words(found, cell) {
    const at = `${found.dataset.labels[found.label]} at layer ${superact.layerName(found.layer.layer, found.model.blocks)}, ${found.set.slug}, ${found.dataset.name} | ${found.model.name}`;
    const own = cell && cell.separation;
    if (!own) return `${at}.`;
    return (
      `${at}: the densities overlap by ${fixed(own.overlap)}, AUC ${fixed(own.auc)}; beyond the threshold ${superact.score(own.threshold)} lie ` +
      `${own.tail_mass === null ? "no" : fixed(100 * own.tail_mass, 0) + " % of the"} tokens in concept.`
    );
  }

  superact.page("distributions", {
    title: "Distributions",
    mount(main) {
      let found = null;
      const pickers = superact.pickers("distributions", ["set", "label"], () => superact.chosen(found));
      const slider = superact.slider("layer-slider", "Layer", (place) => {
        const layer = found.set.layers[place].layer;
        superact.go("distributions", { ...superact.chosen(found), layer }, true);
        superact.ready = draw(new URLSearchParams(window.location.hash.split("?")[1]));
      });
      const density = superact.chartBox("densities", "Densities of scores in and out of concept");
      const said = el("p", { id: "distribution-said", "aria-live": "polite" });
      const note = el("p", { class: "note", role: "status" });
      const table = el("div");
      main.append(
        el("h1", { tabindex: "-1" }, "Distributions"),
        el("form", { class: "controls" }, ...pickers.fields),
        el("div", { class: "controls wide" }, slider.field),
        note,
        density.box,
        said,
        table,
        el(
          "p",
          { class: "note" },
          "In concept: test tokens that carry the label. Out of concept: test tokens of samples without it. The dashed line is the threshold chosen on cal; the filled tail holds the superactivators. Tail mass: share of the tokens in concept there; coverage: share of the samples with the label that own one; precision: share of the tail that is in concept.",
        ),
      );

      async function draw(choices) {
        const stale = superact.turn();
        const catalogue = await superact.load("catalogue");
        found = superact.pick(catalogue, choices, ["set", "label", "layer"]);
        const [data, templates] = await Promise.all([
          superact.load(`distributions/${found.dataset.slug}/${found.model.slug}/${found.set.slug}`),
          superact.load(`charts/density/${found.set.measure}`),
        ]);
        if (stale()) return;
        pickers.set(found);
        slider.set(found.set.layers.length, found.set.layers.indexOf(found.layer), (place) => {
          const layer = found.set.layers[place].layer;
          return superact.layerName(layer, found.model.blocks) + (layer === found.best ? ", best on cal" : "");
        });
        note.textContent = found.missing.join(" ");
        const cells = data ? data.cells : [];
        const own = cells.find(([layer, label]) => layer === found.layer.layer && label === found.label);
        const cell = own ? own[2] : null;
        said.textContent = words(found, cell);
        table.replaceChildren(separations(found, cells));
        const drawable = cell && cell.hi !== undefined && cell.hi > cell.lo;
        await density.draw(drawable ? filled(templates, cell, words(found, cell)) : null, "There is no distribution of token scores for this label, layer and concept set.");
      }
      return { update: draw };
    },
  });
  superact.densitySteps = steps;
})();
