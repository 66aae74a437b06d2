// Labelled controls. Each has the element and `set`, which leaves the focus where it is.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const { el } = superact;

  function field(id, label, ...children) {
    return el("div", { class: "field" }, el("label", { for: id }, label), ...children);
  }

  // options: [value, text] pairs; values are texts.
  superact.select = (id, label, onPick) => {
    const node = el("select", { id, on: { change: () => onPick(node.value) } });
    let key = "";
    return {
      field: field(id, label, node),
      set(options, value) {
        const now = JSON.stringify(options);
        if (now !== key) {
          node.replaceChildren(...options.map(([own, text]) => el("option", { value: own }, text)));
          key = now;
        }
        node.value = value === null || value === undefined ? "" : String(value);
        node.disabled = options.length < 2;
      },
    };
  };

  // A slider over the places of a list; `said(place)` is what a place is called.
  superact.slider = (id, label, onMove) => {
    const output = el("output", { for: id, id: `${id}-value` });
    let said = String;
    const node = el("input", { type: "range", id, min: 0, step: 1, on: { input: () => moved(true) } });
    function moved(told) {
      const text = said(Number(node.value));
      output.textContent = text;
      node.setAttribute("aria-valuetext", text);
      if (told) onMove(Number(node.value));
    }
    return {
      field: field(id, label, el("div", { class: "slider" }, node, output)),
      node,
      set(n, place, words) {
        said = words;
        node.max = String(Math.max(0, n - 1));
        node.value = String(place);
        node.disabled = n < 2;
        moved(false);
      },
    };
  };

  superact.toggle = (id, label, checked, onToggle) => {
    const node = el("input", { type: "checkbox", id, checked, on: { change: () => onToggle(node.checked) } });
    return { field: el("div", { class: "check" }, node, el("label", { for: id }, label)), node };
  };
})();
