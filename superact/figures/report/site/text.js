// A text sample: its own characters, cut at the tokens; each token coloured by its score, boxed if a superactivator, underlined if true.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const { el, score } = superact;

  // Pieces of the text in order: { text, token } or { text } for what no token covers. Characters are code points. A token whose
  // characters an earlier one has already (the second half of a character, under a byte-level tokenizer) is shown as a dot.
  function pieces(text, token, n) {
    if (!token.starts) return Array.from({ length: n }, (_, i) => [{ text: token.words[i], token: i }, { text: " " }]).flat();
    const points = Array.from(text || "");
    const found = [];
    let at = 0;
    for (let i = 0; i < n; i++) {
      const start = Math.max(at, token.starts[i]);
      const end = Math.max(start, token.ends[i]);
      if (start > at) found.push({ text: points.slice(at, start).join("") });
      found.push({ text: points.slice(start, end).join("") || "·", token: i });
      at = end;
    }
    if (at < points.length) found.push({ text: points.slice(at).join("") });
    return found;
  }

  superact.textView = () => {
    const node = el("div", { class: "paper", id: "text", role: "group", tabindex: "0", lang: "und", dir: "auto" });
    let spans = [];
    let key = null;

    function build(given) {
      spans = [];
      node.replaceChildren(
        ...pieces(given.text, given.token, given.n).map((piece) => {
          if (piece.token === undefined) return document.createTextNode(piece.text);
          // Space around a word belongs to no colour: a box around it would look like a longer word.
          const [, before, inner, after] = /^(\s*)([\s\S]*?)(\s*)$/.exec(piece.text);
          const span = el("span", { class: "token", "data-token": given.number(piece.token) }, inner || piece.text);
          spans[piece.token] = span;
          return inner ? [before, span, after] : [span];
        }).flat(),
      );
    }

    return {
      node,
      set(given) {
        if (key !== given.key) build(given);
        key = given.key;
        const supers = new Set(given.show.superactivators ? given.superactivators : []);
        const truth = new Set(given.show.truth ? given.truth : []);
        const isSuper = new Set(given.superactivators);
        const isTrue = new Set(given.truth);
        spans.forEach((span, i) => {
          const value = given.scores ? given.scores[i] : null;
          const rgb = value === null || !given.show.heat ? [255, 255, 255] : superact.colours.diverging(value * given.opacity, given.limit);
          span.style.backgroundColor = superact.colours.css(rgb);
          span.style.color = superact.colours.ink(rgb);
          span.classList.toggle("superactivator", supers.has(i));
          span.classList.toggle("truth", truth.has(i));
          const words = [value !== null && `score ${score(value)}`, isSuper.has(i) && "superactivator", isTrue.has(i) && "in concept"];
          span.title = `token ${given.number(i)}: ${words.filter(Boolean).join(", ")}`;
        });
        node.setAttribute("aria-label", given.label);
        node.dataset.superactivators = String(given.superactivators.length);
        node.dataset.truth = String(given.truth.length);
      },
      leave() {},
    };
  };
  superact.textPieces = pieces;
})();
