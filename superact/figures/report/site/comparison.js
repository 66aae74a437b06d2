// The methods x detectors table: weighted test F1 with intervals, floors below, the best of each row marked.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const { el, fixed, plural, count, spans } = superact;
  const ORDER = ["superactivator", "max_token", "mean_token", "last_token", "random_token", "cls"];
  const FLOORS = { always: "always positive", coin: "coin" };

  const interval = (row) => (row.ci_low === null ? null : `[${fixed(row.ci_low)}, ${fixed(row.ci_high)}]`);

  function cell(row, best) {
    if (!row || row.f1 === null) return "–";
    return [
      el(best ? "strong" : "span", {}, fixed(row.f1)),
      best && el("span", { class: "mark", title: "best of its row" }, " ★", el("span", { class: "hidden" }, "best of its row")),
      interval(row) && el("span", { class: "interval" }, ` ${interval(row)}`),
    ].filter(Boolean);
  }

  // One line a concept set: { name, cells by detector, best, notes }.
  function lines(rows) {
    const found = new Map();
    for (const row of rows) {
      if (!found.has(row.concept_set)) found.set(row.concept_set, { name: row.concept_set, cells: new Map(), notes: [], best: null, labels: new Map() });
      const own = found.get(row.concept_set);
      own.cells.set(row.detector, row);
      own.labels.set(row.n_labels, (own.labels.get(row.n_labels) || 0) + 1);
      if (row.note) own.notes.push(`${superact.detectorName(row.detector)}: ${row.note}`);
    }
    for (const own of found.values()) {
      const scored = [...own.cells.values()].filter((row) => row.f1 !== null);
      if (scored.length > 1) own.best = Math.max(...scored.map((row) => row.f1));
    }
    return [...found.values()];
  }

  function setsTable(one, rows, floors) {
    const names = new Set(rows.map((row) => row.detector));
    const detectors = [...ORDER.filter((name) => names.has(name)), ...[...names].filter((name) => !ORDER.includes(name))];
    const best = (line, name) => line.best !== null && line.cells.has(name) && line.cells.get(name).f1 === line.best;
    const named = (line) => [
      line.href ? el("a", { href: line.href }, line.name) : line.name,
      ...line.notes.map((note) => el("span", { class: "note below" }, note)),
    ];
    const own = lines(rows);
    own.forEach((line) => {
      line.href = superact.link("samples", { dataset: one.dataset, model: one.model, set: line.name });
      line.attributes = { "data-set": line.name };
    });
    const shuffled = own
      .filter((line) => [...line.cells.values()].some((row) => row.null_f1 !== null))
      .map((line) => ({
        name: `${line.name}, labels shuffled`,
        notes: [],
        best: null,
        cells: new Map([...line.cells].map(([name, row]) => [name, { f1: row.null_f1, ci_low: null }])),
      }));
    const foot = floors.map((row) => ({
      name: FLOORS[row.method],
      notes: [],
      best: null,
      attributes: { "data-floor": row.method },
      cells: new Map(detectors.map((name) => [name, { f1: row.f1, ci_low: null }])),
    }));
    return superact.table({
      id: "comparison-table",
      caption: "Weighted test F1 with 95 % bootstrap interval; ★ best of its row",
      rows: own,
      foot: [...foot, ...shuffled],
      columns: [
        { title: "Concept set", value: (line) => line.name, cell: named },
        ...detectors.map((name) => ({
          title: superact.detectorName(name),
          number: true,
          value: (line) => (line.cells.has(name) ? line.cells.get(name).f1 : null),
          cell: (line) => cell(line.cells.get(name), best(line, name)),
          best: (line) => best(line, name),
        })),
      ],
    });
  }

  function promptsTable(prompts) {
    return superact.table({
      id: "prompt-table",
      caption: "Prompted models of this dataset: weighted test F1 with 95 % bootstrap interval",
      rows: prompts,
      columns: [
        { title: "Answered by", cell: (row) => row.model || row.concept_set },
        { title: "F1", number: true, value: (row) => row.f1, cell: (row) => cell(row, false) },
        { title: "Labels", number: true, value: (row) => row.n_labels, cell: (row) => count(row.n_labels) },
        { title: "Note", cell: (row) => row.note || "" },
      ],
    });
  }

  function about(one) {
    const where = one.layer === null ? "each label at its best layer on cal" : `all labels at layer ${one.layer}`;
    const sets = one.sets.map(([name, layers]) => `${name}: ${spans(layers)}`).join("; ");
    return (
      `${plural(one.labels, "label")}, ${plural(one.positives, "test positive")}; ${where}.` +
      (one.layer === null && sets ? ` Layers to choose from: ${sets}.` : "") +
      " Thresholds, concepts and layers are chosen on cal; the floors detect every sample, or fire with a label's cal prevalence."
    );
  }

  superact.page("comparison", {
    title: "Comparison",
    mount(main) {
      let found = [];
      let now = {};
      const pair = superact.select("pick-comparison", "Dataset and model", (value) => {
        const one = found.find((own) => `${own.dataset} ${own.model || ""}` === value);
        superact.go("comparison", { dataset: one.dataset, model: one.model });
      });
      const layer = superact.select("pick-comparison-layer", "Layer", (value) =>
        superact.go("comparison", { ...now, layer: value === "best" ? null : value }),
      );
      const tables = el("div", { id: "comparison-tables" });
      const bars = superact.chartBox("f1-bars", "Weighted test F1 of every concept set and detector");
      const said = el("p", { id: "comparison-about", "aria-live": "polite" });
      main.append(
        el("h1", { tabindex: "-1" }, "Comparison"),
        el("form", { class: "controls" }, pair.field, layer.field),
        said,
        tables,
        el("h2", {}, "As bars, each label at its best layer"),
        bars.box,
      );
      return {
        async update(choices) {
          const stale = superact.turn();
          found = await superact.load("comparison");
          if (stale()) return;
          const bests = found.filter((one) => one.layer === null);
          const first =
            bests.find((one) => one.dataset === choices.get("dataset") && one.model === choices.get("model")) ||
            bests.find((one) => one.dataset === choices.get("dataset")) ||
            bests[0];
          if (!first) {
            tables.replaceChildren(el("p", { class: "note" }, "Nothing was compared: run superact eval."));
            return;
          }
          const wanted = choices.get("layer");
          const one =
            found.find((own) => own.dataset === first.dataset && own.model === first.model && String(own.layer) === wanted) || first;
          now = { dataset: one.dataset, model: one.model, layer: one.layer };
          pair.set(bests.map((own) => [`${own.dataset} ${own.model || ""}`, own.title]), `${one.dataset} ${one.model || ""}`);
          const layers = found.filter((own) => own.dataset === one.dataset && own.model === one.model && own.layer !== null);
          layer.set(
            [["best", "best on cal, by label"], ...layers.map((own) => [String(own.layer), `layer ${own.layer}`])],
            one.layer === null ? "best" : one.layer,
          );
          said.textContent = about(one);
          const sets = one.rows.filter((row) => row.detector !== null && row.detector !== "prompt");
          const prompts = one.rows.filter((row) => row.detector === "prompt");
          const floors = one.rows.filter((row) => row.detector === null);
          tables.replaceChildren(
            ...[sets.length && setsTable(one, sets, floors), prompts.length && promptsTable(prompts)].filter(Boolean),
          );
          const spec = one.model ? await superact.load(`charts/f1_bars/${one.dataset}/${one.model}`) : null;
          if (stale()) return;
          await bars.draw(spec, "There are no bars for prompted models alone.");
        },
      };
    },
  });
})();
