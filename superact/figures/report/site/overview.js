// What is stored, what it cost, where it comes from, and what this report leaves out.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const { el, count, bytes, seconds, plural, spans } = superact;
  const MOST = 2000;

  const section = (id, title, ...children) =>
    el("section", { "aria-labelledby": id }, el("h2", { id }, title), ...children);
  const list = (lines) => el("ul", {}, ...lines.map((line) => el("li", {}, line)));

  function warnings(data) {
    const stale = data.stale.map(
      (one) =>
        `${one.table}: ${plural(one.partitions, "partition is", "partitions are")} older than what they were made from; ` +
        `${one.command} makes them anew.`,
    );
    return [
      stale.length &&
        el("section", { class: "warning", id: "stale", "aria-labelledby": "stale-title" }, el("h2", { id: "stale-title" }, "Stale"), list(stale)),
      section(
        "left-out",
        "What is left out",
        data.notes.length ? el("ul", { id: "notes" }, ...data.notes.map((line) => el("li", {}, line))) : el("p", { id: "notes" }, "Nothing: every test sample is here, with every score."),
      ),
    ];
  }

  function datasets(data) {
    const open = (row) => el("a", { href: superact.link("samples", { dataset: row.slug }) }, row.name);
    return superact.table({
      id: "datasets",
      caption: "Datasets",
      rows: data.datasets,
      columns: [
        { title: "Dataset", value: (row) => row.name, cell: open },
        { title: "Kind", cell: (row) => row.modality },
        { title: "Labels", number: true, value: (row) => row.labels, cell: (row) => count(row.labels) },
        ...["train", "cal", "test"].map((split) => ({
          title: split,
          number: true,
          value: (row) => row[split],
          cell: (row) => count(row[split]),
        })),
        { title: "Models", cell: (row) => row.models.join("; ") },
        { title: "Licence", cell: (row) => row.licence || "not recorded" },
        { title: "Digest", cell: (row) => (row.digest ? el("code", { title: row.digest }, row.digest.slice(0, 12)) : "–") },
      ],
    });
  }

  function models(data) {
    return superact.table({
      id: "models",
      caption: "Models",
      rows: data.models,
      columns: [
        { title: "Model", cell: (row) => row.name || row.model },
        { title: "Kind", cell: (row) => row.modality },
        { title: "Blocks", number: true, value: (row) => row.blocks, cell: (row) => count(row.blocks) },
        { title: "Width", number: true, value: (row) => row.width, cell: (row) => count(row.width) },
        { title: "Licence", cell: (row) => row.licence || "not recorded" },
        { title: "Revision", cell: (row) => (row.revision ? el("code", { title: row.revision }, row.revision.slice(0, 12)) : "–") },
      ],
    });
  }

  // One row a table: what its partitions add up to.
  function added(rows, named) {
    const found = new Map();
    for (const row of rows) {
      const own = found.get(named(row)) || { table: named(row), layers: new Set(), files: 0, rows: 0, bytes: 0, stale: 0 };
      row.layers.forEach((layer) => own.layers.add(layer));
      for (const name of ["files", "rows", "bytes", "stale"]) own[name] += row[name];
      found.set(named(row), own);
    }
    return [...found.values()].map((own) => ({ ...own, layers: [...own.layers].sort((a, b) => a - b) }));
  }

  function stored(data) {
    const inside = storedTable("stored-by-model", "Tables by dataset and model", data.stored, true);
    return [
      storedTable("stored", "Tables of the warehouse", added(data.stored, (row) => row.table), false, added(data.stored, () => "in all")),
      el("details", { id: "stored-details" }, el("summary", {}, "By dataset and model"), inside),
    ];
  }

  function storedTable(id, caption, rows, parts, foot) {
    const keys = [
      { title: "Dataset", cell: (row) => row.dataset || "–" },
      { title: "Model", cell: (row) => row.model || "–" },
    ];
    return superact.table({
      id,
      caption,
      rows,
      columns: [
        { title: "Table", cell: (row) => row.table },
        ...(parts ? keys : []),
        { title: "Layers", cell: (row) => spans(row.layers) || "–" },
        { title: "Files", number: true, value: (row) => row.files, cell: (row) => count(row.files) },
        { title: "Rows", number: true, value: (row) => row.rows, cell: (row) => count(row.rows) },
        { title: "Bytes", number: true, value: (row) => row.bytes, cell: (row) => bytes(row.bytes) },
        { title: "State", cell: (row) => (row.stale ? `${count(row.stale)} stale` : "current") },
      ],
      foot: (foot || []).map((row) => ({ ...row, layers: [" "] })),
    });
  }

  function cost(data) {
    const stages = new Map();
    for (const run of data.runs) {
      const own = stages.get(run.stage) || { stage: run.stage, runs: 0, seconds: 0, rows: 0, bytes: 0 };
      own.runs += 1;
      for (const name of ["seconds", "rows", "bytes"]) own[name] += run[name];
      stages.set(run.stage, own);
    }
    return superact.table({
      id: "cost",
      caption: "Seconds, rows and bytes by stage, over all runs",
      rows: [...stages.values()],
      columns: [
        { title: "Stage", cell: (row) => row.stage },
        { title: "Runs", number: true, value: (row) => row.runs, cell: (row) => count(row.runs) },
        { title: "Time", number: true, value: (row) => row.seconds, cell: (row) => seconds(row.seconds) },
        { title: "Rows", number: true, value: (row) => row.rows, cell: (row) => count(row.rows) },
        { title: "Bytes", number: true, value: (row) => row.bytes, cell: (row) => bytes(row.bytes) },
      ],
    });
  }

  function runs(data) {
    return superact.table({
      id: "runs",
      caption: "Published runs, times in UTC",
      rows: data.runs,
      columns: [
        { title: "Run", cell: (row) => el("code", {}, row.run) },
        { title: "Stage", cell: (row) => row.stage },
        { title: "Started", cell: (row) => row.started },
        { title: "Time", number: true, value: (row) => row.seconds, cell: (row) => seconds(row.seconds) },
        { title: "Rows", number: true, value: (row) => row.rows, cell: (row) => count(row.rows) },
        { title: "Tables", cell: (row) => row.tables.join(", ") || "removals only" },
      ],
    });
  }

  // Mostly all runs were made with the same: said once.
  function versions(data) {
    const found = new Map();
    for (const run of data.runs) {
      const words = run.versions.map((pair) => pair.join(" ")).join(", ");
      found.set(words, (found.get(words) || 0) + 1);
    }
    return el("ul", { id: "versions" }, ...[...found].map(([words, n]) => el("li", {}, `${plural(n, "run")} with ${words}`)));
  }

  // Hundreds of rows that few people read: loaded when they are opened.
  function identities() {
    const inside = el("div");
    const details = el("details", { id: "identities" }, el("summary", {}, "Identity of every partition"), inside);
    details.addEventListener("toggle", async () => {
      if (!details.open || inside.childNodes.length) return;
      const rows = await superact.load("identities");
      inside.append(
        superact.table({
          id: "identity-table",
          caption: `First 16 digits of the identity hash${rows.length > MOST ? `, the first ${count(MOST)} of ${count(rows.length)} partitions` : ""}`,
          rows: rows.slice(0, MOST),
          columns: [
            { title: "Table", cell: (row) => row[0] },
            { title: "Partition", cell: (row) => row[1] },
            { title: "Run", cell: (row) => el("code", {}, row[2]) },
            { title: "Identity", cell: (row) => el("code", {}, row[3]) },
          ],
        }),
      );
    });
    return details;
  }

  function lead(data) {
    const rows = data.stored.reduce((total, row) => total + row.rows, 0);
    const size = data.stored.reduce((total, row) => total + row.bytes, 0);
    const time = data.runs.reduce((total, run) => total + run.seconds, 0);
    return el(
      "p",
      { class: "lead", id: "lead" },
      `${plural(data.datasets.length, "dataset")}, ${plural(data.models.length, "model")}: ${count(rows)} rows in ${bytes(size)}, ` +
        `made in ${seconds(time)} by ${plural(data.runs.length, "run")}. Written by superact ${data.version}.`,
    );
  }

  superact.page("overview", {
    title: "Overview",
    mount(main) {
      main.append(el("h1", { tabindex: "-1" }, "Overview"));
      return {
        async update() {
          const data = await superact.load("overview");
          if (main.dataset.page !== "overview" || main.childNodes.length > 1) return;
          main.append(
            lead(data),
            ...warnings(data).filter(Boolean),
            section("h-data", "What was looked at", datasets(data), models(data)),
            section("h-cost", "What it cost", cost(data)),
            section("h-stored", "What is stored", ...stored(data)),
            section("h-runs", "Where it comes from", versions(data), runs(data), identities()),
          );
        },
      };
    },
  });
})();
