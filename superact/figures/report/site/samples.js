// The sample browser: what a detector decides about the test samples at every delta, who they are, and why.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const { el, count, fixed, score } = superact;
  const WANTS = ["set", "label", "layer", "detector"];
  const CELLS = [
    ["tp", "true positives"],
    ["fp", "false positives"],
    ["fn", "false negatives"],
    ["tn", "true negatives"],
    ["precision", "precision"],
    ["recall", "recall"],
    ["f1", "F1"],
  ];
  const float32 = new WeakMap();

  // Base64 of a data file, decoded once.
  function decoded(file, text) {
    if (!float32.has(file)) float32.set(file, new Map());
    const own = float32.get(file);
    if (!own.has(text)) own.set(text, superact.floats(text));
    return own.get(text);
  }

  // Everything that the choices ask for, as far as it is in the report.
  async function gather(found, open) {
    const { dataset, model, set, layer, label, detector } = found;
    const at = `${dataset.slug}/${model.slug}`;
    const own = `${at}/${set.slug}/${layer.layer}`;
    const hasScores = layer.scores.includes(label);
    const hasTokens = layer.tokens.includes(label);
    const wantsTokens = open && hasTokens;
    const [samples, counts, scores, places, tokens] = await Promise.all([
      superact.load(`samples/${dataset.slug}`),
      superact.load(`counts/${own}`),
      hasScores ? superact.load(`scores/${own}/${label}`) : null,
      open ? superact.load(`places/${at}`) : null,
      wantsTokens ? superact.load(`tokens/${own}/${label}`) : null,
    ]);
    const of = (name) => {
      const rows = counts.detectors.find(([one]) => one === name);
      return (rows && rows[1].find(([one]) => one === label)) || null;
    };
    const mine = scores && scores.detectors.find(([one]) => one === detector);
    return {
      samples,
      places,
      chosen: of(detector),
      tail: of("superactivator"),
      scores: mine ? decoded(scores, mine[2]) : null,
      token: tokens ? { concept: tokens.concept, values: decoded(tokens, tokens.scores) } : null,
      hasTokens,
    };
  }

  function matches(samples, place, words) {
    if (!words) return true;
    const number = String(samples.samples[place]);
    if (number === words.replace(/^#/, "")) return true;
    return Boolean(samples.texts) && (samples.texts[place] || "").toLocaleLowerCase().includes(words.toLocaleLowerCase());
  }

  superact.page("samples", {
    title: "Samples",
    mount(main) {
      let found = null;
      let have = null;
      let now = { delta: null, sample: null, q: "" };
      let order = [];
      const chosen = () => ({ ...superact.chosen(found), delta: now.delta, sample: now.sample, q: now.q || null });
      const pickers = superact.pickers("samples", WANTS, chosen);
      const slider = superact.slider("delta", "Delta: share of in-concept calibration values above the threshold", (place) => {
        now.delta = have.chosen[3][place][0];
        superact.go("samples", chosen(), true);
        draw();
      });
      const back = el("button", { type: "button", id: "selected-delta", on: { click: reset } }, "Back to the selected delta");
      const search = el("input", { type: "search", id: "search", autocomplete: "off", spellcheck: "false", on: { input: searched } });
      const hits = el("span", { id: "search-hits", class: "note", "aria-live": "polite" });
      const cells = new Map(CELLS.map(([name]) => [name, el("dd", { id: `count-${name}` })]));
      const counts = el(
        "dl",
        { class: "counts", id: "counts" },
        ...CELLS.map(([name, title]) => el("div", { "data-count": name }, el("dt", {}, title), cells.get(name))),
      );
      const summary = el("p", { id: "counts-summary", "aria-live": "polite" });
      const scope = el("p", { id: "scope", class: "note" });
      const note = el("p", { id: "samples-note", class: "note", role: "status" });
      const lists = superact.lists();
      const panel = superact.samplePanel({ step, close });
      main.append(
        el("h1", { tabindex: "-1" }, "Samples"),
        el(
          "div",
          { class: "browser" },
          el(
            "div",
            { class: "choose" },
            el("form", { class: "controls", on: { submit: (event) => event.preventDefault() } }, ...pickers.fields),
            el("div", { class: "controls wide" }, slider.field, back),
            note,
            counts,
            summary,
            scope,
            el("div", { class: "controls" }, el("div", { class: "field" }, el("label", { for: "search" }, "Search texts and sample numbers"), search), hits),
          ),
          panel.node,
          lists.node,
        ),
      );

      function reset() {
        now.delta = have.chosen[2];
        superact.go("samples", chosen(), true);
        slider.node.focus();
        draw();
      }

      function searched() {
        now.q = search.value.trim();
        superact.go("samples", chosen(), true);
        draw();
      }

      // The sample that is open, as its place among the shown ones; -1 for none.
      const opened = () => (have && now.sample !== null ? have.samples.samples.indexOf(now.sample) : -1);

      function step(by) {
        const at = order.indexOf(opened());
        const next = order[at + by];
        if (at >= 0 && next !== undefined) superact.go("samples", { ...chosen(), sample: have.samples.samples[next] });
      }

      function close() {
        const was = now.sample;
        superact.go("samples", { ...chosen(), sample: null });
        const card = lists.node.querySelector(`li[data-sample="${Number(was)}"] a`);
        (card || main.querySelector("h1")).focus();
      }

      function keys(event) {
        if (event.altKey || event.ctrlKey || event.metaKey || !panel.open) return;
        if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
        if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
          event.preventDefault();
          step(event.key === "ArrowLeft" ? -1 : 1);
        } else if (event.key === "Escape") close();
      }
      document.addEventListener("keydown", keys);

      function drawCounts(measures) {
        for (const [name] of CELLS) {
          const value = measures[name];
          const whole = ["tp", "fp", "fn", "tn"].includes(name);
          cells.get(name).textContent = whole ? count(value) : fixed(value, 3);
          cells.get(name).dataset.value = value === null ? "" : String(value);
        }
        counts.dataset.delta = String(measures.delta);
        const at = `delta ${measures.delta}, threshold ${measures.threshold === null ? "none" : score(measures.threshold)}`;
        summary.textContent = `At ${at}: ${count(measures.tp)} true and ${count(measures.fp)} false positives, ${count(measures.fn)} false and ${count(measures.tn)} true negatives.`;
      }

      function drawScope() {
        const { dataset, detector } = found;
        const all = dataset.shown === dataset.test;
        scope.dataset.sampled = String(!all);
        const tail = have.tail && have.chosen && have.tail[1] !== have.chosen[1];
        scope.textContent =
          (all
            ? `All ${count(dataset.test)} test samples are shown; counts are of all of them.`
            : `${count(dataset.shown)} of ${count(dataset.test)} test samples are shown; counts are of all ${count(dataset.test)}.`) +
          (have.chosen ? ` Scores are of concept ${have.chosen[1]}.` : "") +
          (tail ? ` Token scores and superactivators are of concept ${have.tail[1]}, which detector superactivator reads; ${superact.detectorName(detector)} reads another.` : "");
      }

      function drawLists(measures) {
        const { samples, scores } = have;
        const positives = new Set();
        samples.labels.forEach((labels, place) => labels.includes(found.label) && positives.add(place));
        const whole = superact.outcomes.ranked(scores, measures.threshold, positives);
        const kinds = superact.outcomes.KINDS.map(([kind]) => kind);
        const ranked = Object.fromEntries(kinds.map((kind) => [kind, whole[kind].filter((place) => matches(samples, place, now.q))]));
        order = kinds.flatMap((kind) => ranked[kind]);
        hits.textContent = now.q ? `${count(order.length)} of ${count(samples.samples.length)} match` : "";
        const key = JSON.stringify([found.dataset.slug, found.model.slug]);
        lists.set(key, {
          samples,
          images: found.model.images,
          dataset: found.dataset,
          ranked,
          scores,
          threshold: measures.threshold,
          open: opened(),
          href: (place) => superact.link("samples", { ...chosen(), sample: samples.samples[place] }),
          totals: found.dataset.shown === found.dataset.test ? null : measures,
          unfiltered: Object.fromEntries(kinds.map((kind) => [kind, whole[kind].length])),
        });
      }

      function drawPanel(measures) {
        const at = opened();
        if (at < 0 || !have.places) {
          panel.hide();
          return;
        }
        const { samples, tail } = have;
        const cut = tail && tail[3].find(([delta]) => delta === measures.delta);
        const images = found.model.images;
        panel.set({
          key: JSON.stringify([found.dataset.slug, found.model.slug, now.sample]),
          at,
          number: now.sample,
          text: samples.texts ? samples.texts[at] || "" : null,
          source: images ? `${images}/${now.sample}.webp` : null,
          places: have.places,
          label: found.label,
          token: have.token,
          tokenThreshold: cut ? cut[1] : null,
          limit: have.token ? superact.colours.limitOf(have.token.values) : 0,
          value: have.scores ? have.scores[at] : NaN,
          threshold: measures.threshold,
          positive: samples.labels[at].includes(found.label),
          carried: samples.labels[at].map((label) => found.dataset.labels[label]),
          names: { dataset: found.dataset.name, label: found.dataset.labels[found.label], detector: superact.detectorName(found.detector) },
          note: noteOf(),
        });
      }

      function noteOf() {
        const found = [];
        if (!have.token) found.push("The token scores of this label, layer and concept set are not in this report.");
        else found.push("The scale is the same for all samples of this label, layer and concept set.");
        if (have.samples.texts === null && !have.places.grid) found.push("The tokens of this sample have no place on a grid.");
        return found.join(" ");
      }

      function draw() {
        if (!have.chosen) {
          note.textContent = [...found.missing, "This label could not be calibrated here: there is no threshold, and nothing is detected."].join(" ");
          counts.hidden = summary.hidden = lists.node.hidden = true;
          drawScope();
          panel.hide();
          return;
        }
        const cuts = have.chosen[3];
        let place = cuts.findIndex(([delta]) => delta === now.delta);
        if (place < 0) place = Math.max(0, cuts.findIndex(([delta]) => delta === have.chosen[2]));
        now.delta = cuts[place][0];
        slider.set(cuts.length, place, (i) => `${cuts[i][0]}${cuts[i][0] === have.chosen[2] ? " (selected on cal)" : ""}, threshold ${cuts[i][1] === null ? "none" : score(cuts[i][1])}`);
        back.disabled = now.delta === have.chosen[2];
        const measures = superact.outcomes.measures(cuts[place]);
        counts.hidden = summary.hidden = false;
        drawCounts(measures);
        drawScope();
        lists.node.hidden = !have.scores;
        note.textContent = [...found.missing, have.scores ? "" : "The sample scores of this label, layer and concept set are not in this report: the counts are, the lists are not."].filter(Boolean).join(" ");
        if (have.scores) drawLists(measures);
        drawPanel(measures);
        main.querySelector(".browser").classList.toggle("open", panel.open);
      }

      return {
        async update(choices) {
          const stale = superact.turn();
          const catalogue = await superact.load("catalogue");
          const next = superact.pick(catalogue, choices, WANTS);
          const sample = /^\d+$/.test(choices.get("sample") || "") ? Number(choices.get("sample")) : null;
          const data = await gather(next, sample !== null);
          if (stale()) return;
          const before = now.sample;
          found = next;
          have = data;
          if (sample !== null && !have.samples.samples.includes(sample)) found.missing.push(`Sample ${sample} is not among those shown.`);
          now = { delta: choices.has("delta") ? Number(choices.get("delta")) : null, sample, q: choices.get("q") || "" };
          if (search.value.trim() !== now.q) search.value = now.q;
          pickers.set(found);
          draw();
          if (panel.open && before !== sample) panel.focus();
        },
        leave() {
          document.removeEventListener("keydown", keys);
          panel.leave();
        },
      };
    },
  });
})();
