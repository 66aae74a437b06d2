// Starts the report: its title, the skip link, and the page that the address asks for.
"use strict";
(function () {
  const superact = window.superact;

  document.getElementById("skip").addEventListener("click", (event) => {
    // The hash is the page: the link moves the focus without it.
    event.preventDefault();
    document.getElementById("main").focus();
  });

  superact.ready = superact
    .load("overview")
    .then((data) => {
      document.getElementById("report-title").textContent = data.title;
    })
    .catch(() => {
      // The page itself says what is missing.
    })
    .then(() => superact.start());
})();
