// Pages by the hash of the address: #/page?name=value. A page that is shown already is updated, not drawn anew, so that focus stays.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const pages = new Map();
  let shown = null;
  let turn = 0;

  // A page is { title, mount(main) }; mount returns { update(choices) }, which may be awaited.
  superact.page = (name, page) => pages.set(name, page);

  function parse() {
    const match = /^#\/([a-z]+)(?:\?(.*))?$/.exec(window.location.hash);
    const name = match && pages.has(match[1]) ? match[1] : "overview";
    return { name, choices: new URLSearchParams((match && match[2]) || "") };
  }

  function link(name, choices) {
    const given = new URLSearchParams();
    for (const [key, value] of Object.entries(choices || {})) {
      if (value !== null && value !== undefined) given.set(key, String(value));
    }
    const text = given.toString();
    return `#/${name}${text ? "?" + text : ""}`;
  }

  // Go there: a new place in the history, or (replace) the same one with other choices, without drawing anything.
  function go(name, choices, replace) {
    const hash = link(name, choices);
    if (!replace) window.location.hash = hash;
    else window.history.replaceState(null, "", hash);
  }

  // True once another navigation has begun, when what was awaited is of no use any more.
  superact.turn = () => {
    const own = turn;
    return () => own !== turn;
  };

  async function show(first) {
    turn += 1;
    const stale = superact.turn();
    const { name, choices } = parse();
    const page = pages.get(name);
    const main = document.getElementById("main");
    const entered = !shown || shown.name !== name;
    if (entered) {
      if (shown && shown.own.leave) shown.own.leave();
      main.replaceChildren();
      main.dataset.page = name;
      shown = { name, own: page.mount(main) };
      for (const a of document.querySelectorAll("#nav a")) {
        if (a.dataset.page === name) a.setAttribute("aria-current", "page");
        else a.removeAttribute("aria-current");
      }
      document.title = `${page.title} – ${document.getElementById("report-title").textContent}`;
    }
    main.querySelectorAll(":scope > .problem").forEach((own) => own.remove());
    document.documentElement.dataset.ready = "";
    try {
      await shown.own.update(choices);
    } catch (error) {
      if (!stale()) main.append(superact.el("p", { class: "problem", role: "alert" }, error.message));
    }
    if (stale()) return;
    if (entered && !first) {
      const heading = main.querySelector("h1");
      if (heading) heading.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
    document.documentElement.dataset.ready = name;
  }

  // superact.ready settles when what the address asks for is shown.
  superact.start = () => {
    window.addEventListener("hashchange", () => {
      superact.ready = show(false);
    });
    return show(true);
  };
  Object.assign(superact, { link, go });
})();
