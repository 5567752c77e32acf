"use strict";

// Joins what is heard, what is seen and the controls. `scene/data.js` says what there is.

const scene = window.SCENE;
const musicians = scene.musicians.map((one) => new Musician(one));
const listener = new Listener(scene.floor_m);
const places = placesOf(musicians);
const sound = new Sound(scene, musicians);
sound.ear = listener;
let world = null;
let isChanged = true; // since the last picture
let wasChanged = false; // before it
const plan = new Plan(byId("plan"), musicians, listener, places, (number, x, z) => {
  (number < 0 ? listener : musicians[number]).moveTo(x, z);
  change();
});

const writePlaces = fillMusicians(musicians, () => change());

let telling = 0;

/** Takes over whatever has changed; words follow once it rests. */
function change() {
  isChanged = true;
  sound.update();
  clearTimeout(telling);
  telling = setTimeout(tell, 300);
}

function tell() {
  byId("where").textContent = whereabouts(listener, musicians);
  writePlaces();
}

// Pictures, many a second.

let before = 0;

function frame(now) {
  const milliseconds = now - before;
  const seconds = Math.min(0.1, milliseconds / 1000);
  before = now;
  const walks = listener.held.size && listener.step(seconds);
  const moved = musicians.filter((one) => one.follow(sound.time));
  if (walks || moved.length) change();
  if (isChanged) draw(wasChanged ? milliseconds : 0);
  else if (wasChanged) draw(0, 1); // at rest all of it
  wasChanged = isChanged;
  isChanged = false;
  if (sound.isPlaying) showProgress();
  requestAnimationFrame(frame);
}

/** milliseconds: since the last picture of a movement, 0 at its beginning. */
function draw(milliseconds, share = null) {
  const isHeard = musicians.map((one) => sound.isHeard(one));
  if (milliseconds) world?.keepUp(milliseconds);
  world?.draw(listener, isHeard, share ?? world.share);
  plan.draw(isHeard);
}

function showProgress() {
  byId("play").textContent = sound.isPlaying ? "\u275a\u275a pause" : "\u25b6 play";
  byId("position").value = sound.time;
  byId("time").textContent = `${clock(sound.time)} / ${clock(sound.seconds)}`;
  const levels = sound.levels();
  ["left", "right"].forEach((id, n) => { byId(id).value = sound.isPlaying ? levels[n] : -60; });
}

// Controls.

byId("title").textContent = document.title = scene.title;
byId("position").max = sound.seconds;
byId("position").oninput = ({ target }) => { sound.seek(Number(target.value)); showProgress(); };
byId("repeat").onchange = ({ target }) => { sound.repeats = target.checked; };
byId("play").onclick = () => {
  if (sound.isPlaying) sound.stop();
  else sound.play().catch(sound.onfailure);
  showProgress();
};
sound.onend = showProgress;
sound.onfailure = (error) => {
  sound.stop();
  byId("where").textContent = error.message;
  showProgress();
};
byId("places").append(...places.map(({ name }, number) => {
  const go = () => { // to where the musicians are now
    listener.goTo(placesOf(musicians)[number]);
    change();
  };
  return element("button", { onclick: go }, name);
}));
byId("back").onclick = () => {
  musicians.forEach((one) => one.goHome());
  change();
};
for (const id of ["scene", "mixture"]) {
  byId(id).onclick = () => {
    sound.isMixture = id === "mixture";
    for (const other of ["scene", "mixture"]) byId(other).setAttribute("aria-pressed", String(other === id));
    change();
  };
}
fillSlider("level", (db) => `${String(db).replace("-", "\u2212")} dB`, (db) => { sound.levelDb = db; change(); });
fillSlider("room", (percent) => `${percent} %`, (percent) => { sound.room = percent / 100; change(); });
fillPad(listener, change);

// Keys. While a slider has the focus the arrows move it; a click on a control does not leave the focus there.

window.addEventListener("keydown", (event) => {
  const name = KEYS[event.code];
  const isSliders = event.code.startsWith("Arrow") && event.target.matches("input[type=range]");
  if (!name || event.ctrlKey || event.metaKey || event.altKey || isSliders) return;
  listener.held.add(name);
  event.preventDefault();
});
window.addEventListener("keyup", ({ code }) => listener.held.delete(KEYS[code]));
window.addEventListener("click", ({ detail, target }) => { if (detail && target.matches("input")) target.blur(); });
window.addEventListener("blur", () => listener.held.clear());
window.addEventListener("resize", () => { isChanged = true; });

// The picture: a musician is moved over the floor; anywhere else the head is turned.

let drag = null;

function startDrag(event) {
  const { number, point } = world.pick(event);
  drag = { number, x: event.clientX, height: point?.y };
  if (point) drag.offset = musicians[number].place.map((value, a) => value - point.getComponent(a));
  event.target.setPointerCapture(event.pointerId);
}

function moveDrag(event) {
  if (!drag) return;
  if (drag.number < 0) {
    const radians = (SIGHT_DEGREES * Math.PI) / 180;
    listener.turn(((event.clientX - drag.x) / event.target.clientHeight) * radians);
    drag.x = event.clientX;
  } else {
    const point = world.meet(event, drag.height);
    if (point) musicians[drag.number].moveTo(point.x + drag.offset[0], point.z + drag.offset[2]);
  }
  change();
}

async function begin() {
  listener.goTo(places[0]);
  change();
  showProgress();
  requestAnimationFrame(frame);
  const view = byId("view");
  try {
    world = new World(view, byId("names"), musicians, scene.floor_m);
    view.onpointerdown = startDrag;
    view.onpointermove = moveDrag;
    view.onpointerup = view.onpointercancel = () => { drag = null; };
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", change);
    await world.load();
  } catch (error) { // without WebGL the scene is heard and walked through in the plan
    byId("names").textContent = `the clouds cannot be drawn: ${error.message}`;
  }
  change();
  view.dataset.drawn = "1";
}

begin();
