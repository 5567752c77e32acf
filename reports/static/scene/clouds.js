"use strict";

// Clouds as scripts: 16-bit millimetres from their centre, and colours.

const waitingForCloud = new Map();

/** Called by the scripts. */
window.cloud = (name, centre, xyz, rgb) => {
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const millimetres = new Int16Array(bytes(xyz).buffer);
  waitingForCloud.get(name)({ metres: Float32Array.from(millimetres, (value) => value / 1000), rgb: rgb && bytes(rgb) });
};

/** The points of a cloud from its centre, `metres` [3 P], and its colours `rgb` [3 P], 0..255, or null. */
function loadCloud(name) {
  return new Promise((resolve, reject) => {
    waitingForCloud.set(name, resolve);
    const script = document.createElement("script");
    script.src = `scene/${name}`;
    script.onload = () => script.remove();
    script.onerror = () => reject(new Error(`${name} cannot be read`));
    document.head.append(script);
  });
}
