// From the choices of an address to what there is: names that are not there, or not given, become a default.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const PREFERRED = ["linsep", "avg"];

  const NAMES = {
    superactivator: "superactivator",
    max_token: "max token",
    mean_token: "mean token",
    last_token: "last token",
    random_token: "random token",
    cls: "cls",
    prompt: "prompt",
  };
  superact.detectorName = (name) => (Object.hasOwn(NAMES, name) ? NAMES[name] : name);
  superact.layerName = (layer, blocks) => {
    if (layer === null || layer === undefined) return "none";
    return blocks ? `${layer} (${Math.round((100 * layer) / blocks)} % through)` : String(layer);
  };

  // The item whose name was chosen, else the default; `missing` collects what was asked for in vain.
  function among(items, name, chosen, missing, what, fallback) {
    const found = items.find((item) => String(name(item)) === chosen);
    if (found === undefined && chosen !== null) missing.push(`There is no ${what} ${chosen} here.`);
    return found === undefined ? fallback : found;
  }

  // What a page is about. `wants`: which of model, set, label, layer and detector it needs.
  superact.pick = (catalogue, choices, wants) => {
    const missing = [];
    const has = (what) => wants.includes(what);
    const slug = (item) => item.slug;
    const dataset = among(catalogue.datasets, slug, choices.get("dataset"), missing, "dataset", catalogue.datasets[0]);
    const found = { catalogue, dataset, missing };
    found.model = among(dataset.models, slug, choices.get("model"), missing, "model", dataset.models[0]);
    if (has("set")) {
      const sets = found.model.sets;
      const preferred = PREFERRED.map((name) => sets.find((one) => one.slug === name)).find(Boolean) || sets[0];
      found.set = among(sets, slug, choices.get("set"), missing, "concept set", preferred);
    }
    if (has("label")) {
      const first = (found.set ? found.set.first : []).findIndex((layers) => layers.length > 0);
      const label = among(dataset.labels, String, choices.get("label"), missing, "label", dataset.labels[Math.max(0, first)]);
      found.label = dataset.labels.indexOf(label);
    }
    if (has("layer")) {
      const layers = found.set.layers;
      found.best = found.set.first[found.label].length ? found.set.first[found.label][0] : null;
      const best = layers.find((one) => one.layer === found.best) || layers[0];
      found.layer = among(layers, (one) => one.layer, choices.get("layer"), missing, "layer", best);
    }
    if (has("detector")) {
      const detectors = found.layer.detectors;
      found.detector = among(detectors, String, choices.get("detector"), missing, "detector", detectors[0]);
    }
    return found;
  };

  // Selects for dataset and model (one control where they are few), kept up to date by set(found).
  superact.pickers = (page, wants, chosen) => {
    const go = (changes) => superact.go(page, { ...chosen(), ...changes });
    const own = {
      pair: superact.select("pick-pair", "Dataset and model", (value) => {
        const [dataset, model] = value.split(" ");
        superact.go(page, { dataset, model, set: chosen().set });
      }),
      set: superact.select("pick-set", "Concept set", (set) => go({ set, layer: null, detector: null, delta: null })),
      label: superact.select("pick-label", "Label", (label) => go({ label, layer: null, delta: null })),
      layer: superact.select("pick-layer", "Layer", (layer) => go({ layer, delta: null })),
      detector: superact.select("pick-detector", "Detector", (detector) => go({ detector, delta: null })),
    };
    const shown = ["pair", ...wants.filter((name) => Object.hasOwn(own, name))];
    return {
      fields: shown.map((name) => own[name].field),
      set(found) {
        const pairs = found.catalogue.datasets.flatMap((dataset) =>
          dataset.models.map((model) => [`${dataset.slug} ${model.slug}`, `${dataset.name} | ${model.name}`]),
        );
        own.pair.set(pairs, `${found.dataset.slug} ${found.model.slug}`);
        if (found.set) own.set.set(found.model.sets.map((one) => [one.slug, one.slug]), found.set.slug);
        if (found.label !== undefined) {
          own.label.set(found.dataset.labels.map((name) => [name, name]), found.dataset.labels[found.label]);
        }
        if (found.layer) {
          const said = (layer) => superact.layerName(layer, found.model.blocks) + (layer === found.best ? ", best on cal" : "");
          own.layer.set(found.set.layers.map((one) => [String(one.layer), said(one.layer)]), String(found.layer.layer));
        }
        if (found.detector) {
          own.detector.set(found.layer.detectors.map((name) => [name, superact.detectorName(name)]), found.detector);
        }
      },
    };
  };

  superact.chosen = (found) => ({
    dataset: found.dataset.slug,
    model: found.model.slug,
    set: found.set ? found.set.slug : null,
    label: found.label === undefined ? null : found.dataset.labels[found.label],
    layer: found.layer ? found.layer.layer : null,
    detector: found.detector || null,
  });
})();
