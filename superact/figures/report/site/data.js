// Data files are scripts that call superact.receive: a page that is opened from a folder may run scripts and read nothing else.
"use strict";
(function () {
  const superact = (window.superact = window.superact || {});
  const held = new Map();
  const scripts = new Map();

  function entry(name) {
    if (!held.has(name)) {
      const own = {};
      own.promise = new Promise((resolve, reject) => Object.assign(own, { resolve, reject }));
      held.set(name, own);
    }
    return held.get(name);
  }

  // Run one of the report's own scripts, once.
  function script(path) {
    if (!scripts.has(path)) {
      scripts.set(
        path,
        new Promise((resolve, reject) => {
          const node = document.createElement("script");
          node.src = path;
          node.addEventListener("load", resolve);
          node.addEventListener("error", () => reject(new Error(`${path} is missing from this report.`)));
          document.head.append(node);
        }),
      );
    }
    return scripts.get(path);
  }

  superact.receive = (name, value) => entry(name).resolve(value);

  // The content of data/NAME.js, which is asked for once.
  superact.load = (name) => {
    const own = entry(name);
    const path = `data/${name.split("/").map(encodeURIComponent).join("/")}.js`;
    script(path).catch((error) => own.reject(error));
    return own.promise;
  };
  superact.script = script;

  // Float32 numbers, little-endian as they are written, whatever this machine is.
  superact.floats = (text) => {
    const raw = atob(text);
    const view = new DataView(new ArrayBuffer(raw.length));
    for (let i = 0; i < raw.length; i++) view.setUint8(i, raw.charCodeAt(i));
    const values = new Float32Array(raw.length / 4);
    for (let i = 0; i < values.length; i++) values[i] = view.getFloat32(4 * i, true);
    return values;
  };
})();
