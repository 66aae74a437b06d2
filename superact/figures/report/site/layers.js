// F1 by layer: as a heatmap and as lines, the same numbers as a table, and the best layer of every label.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const { el, fixed, count } = superact;

  const ORDER = ["superactivator", "max_token", "mean_token", "last_token", "random_token", "cls"];

  // By concept set, then by detector as they are compared; what is equal stays in its order.
  function inOrder(rows) {
    const set = (row) => row.set || row.concept_set;
    const place = (row) => (ORDER.includes(row.detector) ? ORDER.indexOf(row.detector) : ORDER.length);
    return rows.slice().sort((a, b) => (set(a) < set(b) ? -1 : set(a) > set(b) ? 1 : place(a) - place(b)));
  }

  function numbers(data) {
    const layers = [...new Set(data.rows.flatMap((row) => row.layers.map((cell) => cell[0])))].sort((a, b) => a - b);
    const at = (row, layer) => row.layers.find((cell) => cell[0] === layer);
    const most = (row) => Math.max(...row.layers.filter((cell) => cell[1] !== null).map((cell) => cell[1]));
    const isBest = (row, layer) => at(row, layer) && at(row, layer)[1] !== null && row.layers.length > 1 && at(row, layer)[1] === most(row);
    const shown = (cell) => {
      if (!cell || cell[1] === null) return "–";
      const low = cell[cell.length - 2];
      return [fixed(cell[1]), low !== null && el("span", { class: "interval" }, ` [${fixed(low)}, ${fixed(cell[cell.length - 1])}]`)].filter(Boolean);
    };
    return superact.table({
      id: "layer-table",
      caption: "Weighted test F1 at each layer with 95 % interval; ★ largest of its row",
      rows: inOrder(data.rows),
      columns: [
        { title: "Concept set", cell: (row) => row.set },
        { title: "Detector", cell: (row) => superact.detectorName(row.detector) },
        ...layers.map((layer) => ({
          title: superact.layerName(layer, data.blocks),
          number: true,
          value: (row) => (at(row, layer) ? at(row, layer)[1] : null),
          cell: (row) => [shown(at(row, layer)), isBest(row, layer) ? el("span", { class: "mark", title: "largest of its row" }, " ★") : null].flat().filter(Boolean),
          best: (row) => isBest(row, layer),
        })),
        { title: "Best by label", number: true, value: (row) => (row.best ? row.best[0] : null), cell: (row) => (row.best ? shown([null, ...row.best]) : "–") },
      ],
    });
  }

  function bests(data, found) {
    const rows = inOrder(data.best.filter((row) => row.concept_set === found.set.slug));
    const open = (row) =>
      el(
        "a",
        { href: superact.link("samples", { dataset: found.dataset.slug, model: found.model.slug, set: row.concept_set, label: row.label, layer: row.layer, detector: row.detector }) },
        row.label,
      );
    const number = (title, name) => ({ title, number: true, value: (row) => row[name], cell: (row) => fixed(row[name]) });
    return superact.table({
      id: "best-table",
      caption: `Best layer of every label on cal, concept set ${found.set.slug}`,
      rows,
      empty: "No layers were selected: run superact eval layers.",
      columns: [
        { title: "Label", value: (row) => row.label, cell: (row) => (row.layer === null ? row.label : open(row)) },
        { title: "Detector", cell: (row) => superact.detectorName(row.detector) },
        { title: "Layer", number: true, value: (row) => row.layer, cell: (row) => superact.layerName(row.layer, data.blocks) },
        { title: "Delta", number: true, value: (row) => row.delta, cell: (row) => (row.delta === null ? "–" : String(row.delta)) },
        number("F1 on cal", "f1_cal"),
        number("F1 on test", "f1_test"),
        number("Precision", "precision_test"),
        number("Recall", "recall_test"),
        { title: "Test positives", number: true, value: (row) => row.n_positive, cell: (row) => count(row.n_positive) },
      ],
    });
  }

  superact.page("layers", {
    title: "Layers",
    mount(main) {
      let found = null;
      const pickers = superact.pickers("layers", ["set"], () => superact.chosen(found));
      const heat = superact.chartBox("detection-heatmap", "Weighted test F1 by detector and layer");
      const lines = superact.chartBox("f1-by-layer", "Weighted test F1 by layer");
      const histogram = superact.chartBox("layer-histogram", "Labels by their best layer");
      const table = el("div");
      const best = el("div");
      const note = el("p", { class: "note", role: "status" });
      main.append(
        el("h1", { tabindex: "-1" }, "Layers"),
        el("form", { class: "controls" }, ...pickers.fields),
        note,
        el("h2", {}, "Detectors by layer, all concept sets"),
        heat.box,
        table,
        el("h2", {}, "Along the depth of the model"),
        lines.box,
        el("h2", {}, "The best layer of every label"),
        best,
        histogram.box,
      );
      return {
        async update(choices) {
          const stale = superact.turn();
          const catalogue = await superact.load("catalogue");
          found = superact.pick(catalogue, choices, ["set"]);
          const at = `${found.dataset.slug}/${found.model.slug}`;
          const data = await superact.load(`layers/${at}`);
          if (stale()) return;
          pickers.set(found);
          note.textContent = found.missing.join(" ");
          table.replaceChildren(numbers(data));
          best.replaceChildren(bests(data, found));
          const names = [`detection_heatmap/${at}`, `f1_by_layer/${at}/${found.set.slug}`, `layer_histogram/${at}`];
          const specs = await Promise.all(names.map((name) => superact.load(`charts/${name}`)));
          if (stale()) return;
          const why = "There is nothing to draw: run superact eval layers.";
          await Promise.all([heat, lines, histogram].map((box, i) => box.draw(specs[i], why)));
        },
      };
    },
  });
})();
