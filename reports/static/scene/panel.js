"use strict";

// Buttons and sliders around the picture.

const byId = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A button that is on or off. */
function toggle(label, text, onchange) {
  const button = element("button", { "aria-pressed": "false", ariaLabel: label }, text);
  button.onclick = () => {
    const isOn = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isOn));
    onchange(isOn);
  };
  return button;
}

/** A row for each musician: solo, mute, and its place in numbers. Returns what writes the places again. */
function fillMusicians(musicians, onchange) {
  const rows = musicians.map((musician) => {
    const number = (a, axis) => element("input", {
      type: "number", step: 0.1, ariaLabel: `${musician.name}: ${axis} in metres`,
      onchange: ({ target }) => {
        const place = musician.place.map((value, n) => (n === a ? target.valueAsNumber : value));
        if (Number.isFinite(target.valueAsNumber)) musician.moveTo(place[0], place[2]);
        onchange();
      },
    });
    const inputs = [[0, number(0, "to the right")], [2, number(2, "to the front")]];
    const name = element("span", { className: "name" }, musician.name);
    const solo = toggle(`${musician.name}: solo`, "solo", (isOn) => { musician.solo = isOn; onchange(); });
    const mute = toggle(`${musician.name}: mute`, "mute", (isOn) => { musician.muted = isOn; onchange(); });
    const fields = inputs.map(([a, input]) => element("label", {}, a ? "z " : "x ", input));
    byId("musicians").append(element("div", { className: "musician" }, name, solo, mute, ...fields));
    return () => inputs.forEach(([a, input]) => { input.value = musician.place[a].toFixed(2).replace(/^-(?=[0.]*$)/, ""); });
  });
  return () => rows.forEach((write) => write());
}

/** Buttons to walk with, held or clicked. */
function fillPad(listener, onstep) {
  const buttons = [
    ["turnLeft", "\u21b6", "turn left"], ["forward", "\u25b2", "walk forward"], ["turnRight", "\u21b7", "turn right"],
    ["left", "\u25c0", "step left"], ["back", "\u25bc", "walk back"], ["right", "\u25b6", "step right"],
  ];
  byId("pad").append(...buttons.map(([name, text, label]) => {
    const button = element("button", { ariaLabel: label, title: label }, text);
    button.onpointerdown = () => listener.held.add(name);
    button.onpointerup = button.onpointerleave = button.onpointercancel = () => listener.held.delete(name);
    button.onclick = (event) => { // by the keyboard or a screen reader
      if (event.detail === 0) listener.step(0.25, new Set([name]));
      onstep();
    };
    return button;
  }));
}

/** Slider with its value beside it. */
function fillSlider(id, text, onchange) {
  const input = byId(id);
  const show = () => { input.nextElementSibling.textContent = text(Number(input.value)); };
  input.oninput = () => { show(); onchange(Number(input.value)); };
  show();
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
}

/** Who is where, in words. */
function whereabouts(listener, musicians) {
  const parts = musicians.map(({ name, place }) => {
    const { metres, degrees } = listener.towards(place);
    const angle = Math.round(Math.abs(degrees));
    const side = angle < 8 ? "ahead" : angle > 172 ? "behind" : `${angle}\u00b0 to the ${degrees > 0 ? "left" : "right"}`;
    return `${name} ${metres.toFixed(1)} m, ${side}`;
  });
  return `You hear: ${parts.join("; ")}.`;
}
