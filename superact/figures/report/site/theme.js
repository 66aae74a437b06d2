// Light or dark: what the system prefers, until the button says otherwise. Runs before the page is drawn.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const listeners = [];
  let chosen = null;
  try {
    chosen = window.localStorage.getItem("superact-theme");
  } catch (error) {
    // Storage may be closed to pages that are opened from a folder: the choice then lasts as long as the page.
  }

  function isDark() {
    return chosen === "dark" || (chosen !== "light" && system.matches);
  }

  function apply() {
    document.documentElement.dataset.theme = isDark() ? "dark" : "light";
    const button = document.getElementById("theme");
    if (button) button.setAttribute("aria-pressed", String(isDark()));
    listeners.forEach((listener) => listener());
  }

  function toggle() {
    chosen = isDark() ? "light" : "dark";
    try {
      window.localStorage.setItem("superact-theme", chosen);
    } catch (error) {
      // As above.
    }
    apply();
  }

  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", toggle);
    apply();
  });
  apply();

  superact.theme = { isDark, onChange: (listener) => listeners.push(listener) };
})();
