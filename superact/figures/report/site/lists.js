// Four ranked lists of samples: true and false positives and negatives, each a page at a time.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const { el, count, score } = superact;
  const PAGE = 12;
  const WORDS = 14;

  function firstWords(text) {
    const words = (text || "").split(/\s+/).filter(Boolean);
    return words.slice(0, WORDS).join(" ") + (words.length > WORDS ? " …" : "");
  }

  superact.lists = () => {
    const parts = new Map();
    const shown = { tp: PAGE, fp: PAGE, fn: PAGE, tn: PAGE };
    let cards = new Map();
    let kept = null;
    const node = el("div", { id: "lists", class: "lists" }, el("h2", { class: "hidden" }, "Samples by outcome"));
    for (const [kind, title, meaning] of superact.outcomes.KINDS) {
      const heading = el("h3", { id: `list-${kind}-title` }, title);
      const list = el("ol", { class: "cards", "data-list": kind });
      const more = el("button", { type: "button", class: "more", on: { click: () => grow(kind) } });
      const none = el("p", { class: "note" }, "None.");
      const section = el(
        "section",
        { "aria-labelledby": `list-${kind}-title`, "data-outcome": kind, class: "outcome" },
        heading,
        el("p", { class: "note" }, `${meaning}; highest score first`),
        list,
        none,
        more,
      );
      parts.set(kind, { heading, title, list, none, more });
      node.append(section);
    }

    function grow(kind) {
      const before = shown[kind];
      shown[kind] += PAGE;
      draw();
      const next = parts.get(kind).list.children[before];
      if (next) next.querySelector("a").focus();
    }

    function card(place) {
      if (cards.has(place)) return cards.get(place);
      const { samples, images, dataset } = kept;
      const number = samples.samples[place];
      const said = el("span", { class: "said" });
      let picture;
      if (samples.texts) picture = el("span", { class: "words" }, firstWords(samples.texts[place]));
      else if (images) picture = el("img", { src: `${images}/${number}.webp`, width: 108, height: 108, loading: "lazy", decoding: "async", alt: `${dataset.name} sample ${number}` });
      else picture = el("span", { class: "words" }, `sample ${number}`);
      const link = el("a", { class: samples.texts ? "card text" : "card" }, picture, el("span", { class: "id" }, `#${number}`), said);
      const own = { node: el("li", { "data-sample": number }, link), link, said };
      cards.set(place, own);
      return own;
    }

    function draw() {
      const { ranked, scores, threshold, open, href, totals } = kept;
      for (const [kind, part] of parts) {
        const places = ranked[kind];
        const sampled = totals && totals[kind] !== null && totals[kind] !== kept.unfiltered[kind];
        part.heading.textContent = `${part.title} (${count(places.length)}${sampled ? ` of ${count(totals[kind])}` : ""})`;
        part.list.dataset.length = String(places.length);
        const wanted = places.slice(0, shown[kind]).map((place) => {
          const own = card(place);
          own.link.href = href(place);
          if (open === place) own.link.setAttribute("aria-current", "true");
          else own.link.removeAttribute("aria-current");
          const sign = superact.outcomes.reaches(scores[place], threshold) ? "≥" : "<";
          own.said.textContent = `${score(scores[place])} ${sign} ${score(threshold)}`;
          return own.node;
        });
        // Moving what is in its place already would take the focus away.
        const same = wanted.length === part.list.children.length && wanted.every((li, i) => li === part.list.children[i]);
        if (!same) part.list.replaceChildren(...wanted);
        part.none.hidden = places.length > 0;
        const rest = places.length - wanted.length;
        part.more.hidden = rest <= 0;
        part.more.textContent = `Show ${count(Math.min(PAGE, rest))} more of ${count(rest)}`;
      }
    }

    return {
      node,
      // key: what the cards depend on; all pages start anew when it changes.
      set(key, given) {
        if (!kept || kept.key !== key) {
          cards = new Map();
          for (const kind of Object.keys(shown)) shown[kind] = PAGE;
        }
        kept = { key, ...given };
        draw();
      },
    };
  };
})();
