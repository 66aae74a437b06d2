// One sample, opened: its picture or text with scores and outlines, what was decided about it, and its tokens as a list.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const { el, score, plural, count } = superact;
  const LISTED = 300;

  superact.samplePanel = ({ step, close }) => {
    const heading = el("h2", { id: "sample-title", tabindex: "-1" });
    const facts = el("p", { id: "sample-facts", "aria-live": "polite" });
    const carried = el("p", { class: "note", id: "sample-labels" });
    const note = el("p", { class: "note", id: "sample-note" });
    const place = el("div", { class: "view" });
    const legend = el("div");
    const list = el("ol", { class: "tokens" });
    const details = el("details", { id: "token-list" }, el("summary", {}, "Tokens as a list"), list);
    const show = { heat: true, truth: true, superactivators: true };
    let opacity = 0.55;
    let given = null;
    let view = null;
    const redraw = () => given && draw();
    const toggles = [
      ["heat", "show-heat", "Scores"],
      ["superactivators", "show-superactivators", "Superactivators (lime)"],
      ["truth", "show-truth", "Ground truth (yellow)"],
    ].map(([name, id, label]) =>
      superact.toggle(id, label, true, (on) => {
        show[name] = on;
        redraw();
      }),
    );
    const fade = superact.slider("opacity", "Strength of the colours", (value) => {
      opacity = (value + 1) / 20;
      redraw();
    });
    fade.set(20, 10, (value) => `${(value + 1) * 5} %`);
    const bar = el(
      "div",
      { class: "bar-of-buttons" },
      el("button", { type: "button", id: "previous", on: { click: () => step(-1) } }, "← Previous"),
      el("button", { type: "button", id: "next", on: { click: () => step(1) } }, "Next →"),
      el("button", { type: "button", id: "close", on: { click: close } }, "Close"),
    );
    const node = el(
      "section",
      { id: "sample", class: "panel", "aria-labelledby": "sample-title", hidden: true },
      heading,
      bar,
      facts,
      carried,
      place,
      legend,
      el("div", { class: "toggles", role: "group", "aria-label": "What is drawn" }, ...toggles.map((own) => own.field), fade.field),
      note,
      details,
    );

    // The tokens of the sample: their scores, those that reach the threshold, those that carry the label.
    function tokens() {
      const { places, at, label, token, tokenThreshold } = given;
      const start = places.counts.slice(0, at).reduce((sum, n) => sum + n, 0);
      const n = places.counts[at];
      const scores = token ? token.values.subarray(start, start + n) : null;
      const superactivators = [];
      if (scores) for (let i = 0; i < n; i++) if (superact.outcomes.reaches(scores[i], tokenThreshold)) superactivators.push(i);
      const own = places.truth[at].find(([number]) => number === label);
      return { n, scores, superactivators, truth: own ? own[1] : [] };
    }

    function said(own) {
      const { value, threshold, positive, names } = given;
      const decided = superact.outcomes.WORDS[superact.outcomes.outcome(value, threshold, positive)];
      const cut = threshold === null ? "no threshold" : `threshold ${score(threshold)}`;
      const found = own.scores ? `${plural(own.superactivators.length, "superactivator")}, ` : "";
      return `${names.label}: ${decided}; ${names.detector} score ${score(value)}, ${cut}; ${found}${plural(own.truth.length, "token")} in concept`;
    }

    function listed(own, number) {
      const isSuper = new Set(own.superactivators);
      const isTrue = new Set(own.truth);
      const marked = Array.from({ length: own.n }, (_, i) => i).filter((i) => isSuper.has(i) || isTrue.has(i));
      const order = own.scores ? marked.sort((a, b) => own.scores[b] - own.scores[a] || a - b) : marked;
      const rows = order.slice(0, LISTED).map((i) => {
        const words = [own.scores && `score ${score(own.scores[i])}`, isSuper.has(i) && "superactivator", isTrue.has(i) && "in concept"];
        return el("li", { "data-token": number(i) }, `${given.words(i)}: ${words.filter(Boolean).join(", ")}`);
      });
      if (order.length > LISTED) rows.push(el("li", {}, `and ${count(order.length - LISTED)} more`));
      if (!rows.length) rows.push(el("li", {}, "No superactivator, and no token that carries the label."));
      list.replaceChildren(...rows);
    }

    function draw() {
      const own = tokens();
      const { places, at } = given;
      const token = places.tokens[at];
      const number = (i) => (token.numbers ? token.numbers[i] : i);
      const label = `${given.names.dataset} sample ${given.number}, ${said(own)}`;
      given.words = words(places, token, number);
      heading.textContent = `Sample ${given.number}`;
      facts.textContent = said(own);
      carried.textContent = given.carried.length ? `Carries ${given.carried.join(", ")}.` : "Carries none of the evaluated labels.";
      note.textContent = given.note;
      view.set({
        key: given.key,
        text: given.text,
        source: given.source,
        grid: places.grid || [1, Math.max(1, own.n)],
        token,
        n: own.n,
        scores: own.scores,
        limit: given.limit,
        superactivators: own.superactivators,
        truth: own.truth,
        show,
        // A text has no picture to hide: the colours are as strong as their scale says at the middle of the slider.
        opacity: given.text === null ? opacity : Math.min(1, opacity / 0.55),
        number,
        label,
      });
      listed(own, number);
    }

    // What a token is called: its place on the grid, or its characters.
    function words(places, token, number) {
      if (places.grid) {
        const at = (i) => superact.cellOf(places.grid, token, i);
        return (i) => `patch ${number(i)} (row ${at(i)[0]}, column ${at(i)[1]})`;
      }
      if (!token.starts) return (i) => `token ${number(i)} “${token.words[i]}”`;
      const points = Array.from(given.text || "");
      return (i) => `token ${number(i)} “${points.slice(token.starts[i], token.ends[i]).join("").trim()}”`;
    }

    return {
      node,
      focus: () => heading.focus({ preventScroll: false }),
      get open() {
        return !node.hidden;
      },
      set(next) {
        const kind = next.text === null ? "image" : "text";
        if (!view || view.kind !== kind) {
          if (view) view.leave();
          view = kind === "image" ? superact.imageView() : superact.textView();
          view.kind = kind;
          place.replaceChildren(view.node);
        }
        given = next;
        node.hidden = false;
        node.dataset.sample = String(next.number);
        legend.replaceChildren(...(next.token ? [superact.colours.legend(next.limit)] : []));
        draw();
      },
      hide() {
        node.hidden = true;
        given = null;
      },
      leave: () => view && view.leave(),
    };
  };
})();
