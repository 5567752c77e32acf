"use strict";

// Everything shown comes from data.js; recordings, pictures and clouds are files beside this page, opened with their row.

const report = window.REPORT;
const PLOTLY = "plotly.min.js";
const MINUS = "\u2212";

/** Makes an element: properties, then children (elements or text). */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A number with a fixed number of digits, or a dash for none. */
function shown(value, digits = 2) {
  if (value === null || value === undefined) return "\u2013";
  return value.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", MINUS); // no minus before 0.00
}

/** A difference, with its sign and a colour; what rounds to nothing has neither. */
function difference(value) {
  const text = shown(value);
  if (!/[1-9]/.test(text)) return make("span", {}, text);
  return make("span", { className: value > 0 ? "better" : "worse" }, (value > 0 ? "+" : "") + text);
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}.${Math.floor((seconds % 1) * 10)}`;
}

const loaded = {};

/** Runs a script beside the page, once. */
function load(file) {
  loaded[file] ??= new Promise((resolve, reject) => {
    document.head.append(make("script", { src: file, onload: resolve, onerror: () => reject(new Error(file)) }));
  });
  return loaded[file];
}

// Head of the page.

function fillHead() {
  document.title = report.title;
  document.getElementById("title").textContent = report.title;
  const links = (report.links ?? []).map(({ href, text }) => make("a", { href }, text));
  document.getElementById("about").append(...[...report.about, ...links].flatMap((line) => [line, make("br")]));
}

function fillScores() {
  if (!report.scores) return;
  const { columns, rows, notes } = report.scores;
  const head = make("tr", {}, ...columns.map((name) => make("th", { scope: "col" }, name)));
  const cell = (value, n, signed) =>
    make("td", { "data-label": columns[n + 1] }, signed ? difference(value) : shown(value));
  const body = rows.map(({ name, values, signed }) =>
    make("tr", {}, make("td", {}, name), ...values.map((value, n) => cell(value, n, signed))),
  );
  const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
  const section = document.getElementById("scores");
  section.append(make("div", { className: "scroll" }, table));
  section.append(...notes.map((note) => make("p", { className: "quiet" }, note)));
  section.hidden = false;
}

function fillFigures() {
  if (!report.figures.length) return;
  const figures = report.figures.map(({ file, title }) =>
    make("figure", {}, make("a", { href: file }, make("img", { src: file, alt: title, loading: "lazy" }))),
  );
  const section = document.getElementById("figures");
  section.append(make("div", { className: "grid" }, ...figures));
  section.hidden = false;
}

// Sounds: one plays at a time, and the others stand where it is.

class Player {
  constructor(tracks, seconds) {
    this.seconds = seconds;
    this.sounds = tracks.map(({ file }) => make("audio", { src: file, preload: "auto" }));
    this.current = 0;
    this.onchange = () => {};
    for (const sound of this.sounds) sound.addEventListener("ended", () => this.onchange());
  }

  get sound() { return this.sounds[this.current]; }
  get playing() { return !this.sound.paused && !this.sound.ended; }
  get time() { return this.sound.currentTime; }

  seek(time) {
    this.sound.currentTime = Math.min(Math.max(time, 0), this.seconds);
    this.onchange();
  }

  async play() {
    Player.active?.pause();
    Player.active = this;
    await this.sound.play();
    this.onchange();
  }

  pause() {
    this.sound.pause();
    this.onchange();
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  /** Plays another track from the same position. */
  async choose(number) {
    const { playing, time } = this;
    this.sound.pause();
    this.current = number;
    this.sound.currentTime = time;
    if (playing) await this.play();
    this.onchange();
  }
}

// A picture with its axes; a click moves the player there.

function ticksOfTime(seconds) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200].find((s) => seconds / s <= 7) ?? 3600;
  const digits = step < 1 ? 1 : 0;
  const label = (s) => (step < 60 ? s.toFixed(digits) : clock(s).replace(/\.\d$/, ""));
  const ticks = [];
  for (let s = 0; s <= seconds + 1e-6; s += step) ticks.push([s / seconds, label(s)]);
  ticks[ticks.length - 1][1] += step < 60 ? " s" : "";
  return ticks;
}

function plot(media, image, seek, waveform = null) {
  const areas = [];
  const area = (file, extra) => {
    const head = make("div", { className: "head" });
    const box = make("div", { className: `area ${extra} ${seek ? "" : "still"}` }, make("img", { src: file, alt: "" }));
    if (seek) {
      box.append(head);
      areas.push(head);
      box.onclick = (event) => seek((event.offsetX / box.clientWidth) * media.seconds);
    }
    return box;
  };
  const hz = media.hz_ticks.map(([at, label]) => make("span", { style: `top: ${(1 - at) * 100}%` }, label));
  const time = ticksOfTime(media.seconds).map(([at, label]) => make("span", { style: `left: ${at * 100}%` }, label));
  const parts = waveform ? [make("div"), area(waveform, "wave")] : [];
  parts.push(make("div", { className: "hz" }, ...hz), area(image, ""), make("div", { className: "seconds" }, ...time));
  return { element: make("div", { className: "plot" }, ...parts), heads: areas };
}

// Clouds.

const clouds = {};

/** Called by the files of clouds: points in millimetres from `centre` (m), as 16-bit numbers, and colours. */
window.cloud = (name, centre, xyz, rgb) => {
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const points = new Int16Array(bytes(xyz).buffer);
  const axis = (a) => Array.from({ length: points.length / 3 }, (_, p) => centre[a] + points[3 * p + a] / 1000);
  const colours = rgb && bytes(rgb);
  const colour = colours && Array.from(axis(0), (_, p) => `rgb(${colours.subarray(3 * p, 3 * p + 3).join()})`);
  clouds[name] = { x: axis(0), y: axis(1), z: axis(2), colour };
};

const HALF_ANGLE = Math.PI / 8; // of Plotly's camera, from the middle to the top
const MARGIN = 1.3; // for the axes' numbers

/** Where the camera must stand, in the direction `eye`, to see a box of these sides whole in a view. */
function cameraFor(view, sides, eye) {
  const dot = (a, b) => a.reduce((sum, value, n) => sum + value * b[n], 0);
  const unit = (a) => a.map((value) => value / Math.hypot(...a));
  const toward = unit(eye);
  const right = unit([toward[2], 0, -toward[0]]);
  const up = [toward[1] * right[2], toward[2] * right[0] - toward[0] * right[2], -toward[1] * right[0]];
  const high = Math.tan(HALF_ANGLE);
  const wide = (high * view.clientWidth) / view.clientHeight;
  let distance = 0;
  for (let corner = 0; corner < 8; corner++) {
    const place = sides.map((side, n) => (corner & (1 << n) ? side : -side) / 2);
    const across = Math.max(Math.abs(dot(place, up)) / high, Math.abs(dot(place, right)) / wide);
    distance = Math.max(distance, dot(place, toward) + across * MARGIN);
  }
  const [x, y, z] = toward.map((value) => value * distance);
  return { up: { x: 0, y: 1, z: 0 }, center: { x: 0, y: 0, z: 0 }, eye: { x, y, z } };
}

async function drawCloud(view, { files, names }) {
  await Promise.all([load(PLOTLY), ...files.map(load)]);
  const ink = getComputedStyle(document.body).color;
  const traces = files.map((file, n) => {
    const { x, y, z, colour } = clouds[file];
    const marker = { size: 2, color: colour ?? ["#2f6db5", "#d9822b", "#1d7a46", "#b3372f", "#7a55b5"][n % 5] };
    return { type: "scatter3d", mode: "markers", name: names[n], x, y, z, marker, hoverinfo: "name" };
  });
  if (files.length > 1) {
    const top = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
    const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
    traces.push({
      type: "scatter3d", mode: "text", text: names, hoverinfo: "skip", textfont: { color: ink, size: 14 },
      x: traces.map((t) => mean(t.x)), y: traces.map((t) => top(t.y) + 0.15), z: traces.map((t) => mean(t.z)),
    });
  }
  const ranges = ["x", "y", "z"].map((name) => {
    const values = traces.flatMap((trace) => Array.from(trace[name]));
    const ends = values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
    return [ends[0] - 0.05, ends[1] + 0.05];
  });
  const spans = ranges.map(([low, high]) => high - low);
  const sides = spans.map((span) => span / Math.cbrt(spans[0] * spans[1] * spans[2]));
  const aspectratio = { x: sides[0], y: sides[1], z: sides[2] };
  const camera = cameraFor(view, sides, [0.5, 0.3, files.length > 1 ? 1.6 : 2.5]);
  const axis = (n) => ({
    title: { text: "" }, ticksuffix: n === 1 ? " m" : "", // a title would lie beyond the view
    color: ink, showspikes: false, nticks: 5, showbackground: false, range: ranges[n],
  });
  const layout = {
    scene: { aspectmode: "manual", aspectratio, camera, xaxis: axis(0), yaxis: axis(1), zaxis: axis(2) },
    margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)", font: { color: ink },
  };
  await window.Plotly.newPlot(view, traces, layout, { displayModeBar: false, responsive: true });
  view.dataset.drawn = "1";
}

// What a row opens to: the mixture, then a group for each source, with one player for the sounds of all.

function openMedia(media) {
  const player = new Player(media.groups.flatMap(({ tracks }) => tracks), media.seconds);
  const play = make("button", { className: "play", onclick: () => player.toggle() });
  const slider = make("input", { type: "range", min: 0, max: media.seconds, step: 0.01, ariaLabel: "position" });
  const time = make("span", { className: "time" });
  slider.oninput = () => player.seek(Number(slider.value));

  const heads = [];
  const figures = [];
  const groups = media.groups.map(({ label, tracks, masks, clouds: views }) => {
    const parts = tracks.map((track) => {
      const number = figures.length;
      const { element, heads: own } = plot(media, track.image, (s) => choose(number, s), track.waveform);
      const button = make("button", { onclick: () => choose(number) }, track.label);
      const caption = make("figcaption", {}, button, make("span", { className: "quiet" }, track.note ?? ""));
      const figure = make("figure", { className: "track" }, caption, element);
      heads.push(...own);
      figures.push(figure);
      return figure;
    });
    for (const { label: name, image } of masks) {
      parts.push(make("figure", { className: "track" }, make("figcaption", {}, name), plot(media, image, null).element));
    }
    for (const cloud of views) {
      const view = make("div", { className: "view" });
      drawCloud(view, cloud).catch((error) => view.append(`the cloud cannot be drawn: ${error.message}`));
      parts.push(make("figure", { className: "cloud" }, view));
    }
    const title = label ? [make("h3", {}, label)] : [];
    return make("section", {}, ...title, make("div", { className: "parts" }, ...parts));
  });

  async function choose(number, seconds = null) {
    await player.choose(number);
    if (seconds !== null) player.seek(seconds);
  }

  function show() {
    play.textContent = player.playing ? "\u275a\u275a pause" : "\u25b6 play";
    slider.value = player.time;
    time.textContent = `${clock(player.time)} / ${clock(media.seconds)}`;
    for (const head of heads) head.style.left = `${(player.time / media.seconds) * 100}%`;
    figures.forEach((figure, number) => figure.classList.toggle("playing", number === player.current));
    if (player.playing) requestAnimationFrame(show);
  }
  player.onchange = show;
  show();

  const transport = make("div", { className: "transport" }, play, slider, time);
  const element = make("div", { className: media.wide ? "opened wide" : "opened" }, transport, ...groups, ...player.sounds);
  const close = () => {
    player.pause();
    for (const view of element.querySelectorAll(".view")) window.Plotly?.purge(view);
  };
  return { element, player, close };
}

// The table of mixtures.

class Table {
  constructor(section) {
    this.sortedBy = { key: "index", ascending: true };
    this.instrument = "";
    const instruments = [...new Set(report.rows.flatMap((row) => row.instruments))].sort();
    const filter = make(
      "select", { id: "filter", onchange: () => { this.instrument = filter.value; this.fill(); } },
      make("option", { value: "" }, "all instruments"), ...instruments.map((name) => make("option", {}, name)),
    );
    this.count = make("span", { className: "quiet", id: "count" });
    const columns = [{ key: "index", label: "#" }, { key: "name", label: "mixture" }, ...report.columns];
    this.heads = columns.map(({ key, label }) => {
      const button = make("button", { onclick: () => this.sort(key) }, label);
      return make("th", { scope: "col", className: key === "name" ? "text" : "" }, button);
    });
    this.keys = columns.map(({ key }) => key);
    this.body = make("tbody");
    const head = make("thead", {}, make("tr", {}, ...this.heads));
    section.append(
      make("h2", {}, "Mixtures"),
      make("div", { className: "controls" }, make("label", {}, "with ", filter), this.count),
      make("div", { className: "scroll" }, make("table", {}, head, this.body)),
    );
    this.rows = report.rows.map((row) => ({ row, element: this.makeRow(row), detail: null, opened: null }));
    this.fill();
  }

  makeRow(row) {
    const opener = make("button", { className: "opener", ariaLabel: "open" }, row.media ? "\u25b8" : "");
    opener.disabled = !row.media;
    const name = make("td", { className: "text" }, row.instruments.join(" + "));
    name.append(make("br"), make("span", { className: "recordings" }, row.name));
    const cells = report.columns.map(({ key, label, signed }) =>
      make("td", { "data-label": label }, signed ? difference(row.values[key]) : shown(row.values[key])),
    );
    const element = make("tr", { className: "row" }, make("td", {}, opener, String(row.index)), name, ...cells);
    element.dataset.index = row.index;
    if (row.media) {
      element.classList.add("opens");
      element.onclick = () => this.toggle(this.rows.find((entry) => entry.row === row));
    }
    return element;
  }

  toggle(entry) {
    if (entry.opened) {
      entry.opened.close();
      entry.detail.remove();
      entry.opened = entry.detail = null;
    } else {
      entry.opened = openMedia(entry.row.media);
      entry.detail = make("tr", { className: "detail" }, make("td", { colSpan: this.keys.length }, entry.opened.element));
      entry.element.after(entry.detail);
    }
    entry.element.classList.toggle("open", Boolean(entry.opened));
    entry.element.querySelector(".opener").textContent = entry.opened ? "\u25be" : "\u25b8";
  }

  sort(key) {
    const { sortedBy } = this;
    const isLowBest = report.columns.some((column) => column.key === key && column.lower_is_better);
    const first = key === "index" || key === "name" || isLowBest; // the best scores come first
    this.sortedBy = { key, ascending: sortedBy.key === key ? !sortedBy.ascending : first };
    this.fill();
  }

  fill() {
    const { key, ascending } = this.sortedBy;
    const value = ({ row }) => (key === "index" ? row.index : key === "name" ? row.instruments.join() : row.values[key]);
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null); // those without a score come last
      return (x < y ? -1 : x > y ? 1 : a.row.index - b.row.index) * (ascending ? 1 : -1);
    };
    const kept = this.rows.filter(({ row }) => !this.instrument || row.instruments.includes(this.instrument));
    for (const entry of this.rows) if (entry.opened && !kept.includes(entry)) this.toggle(entry);
    this.body.replaceChildren(...kept.sort(order).flatMap(({ element, detail }) => (detail ? [element, detail] : [element])));
    this.count.textContent = `${kept.length} of ${this.rows.length}`;
    this.heads.forEach((head, n) => {
      if (this.keys[n] === key) head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
  }
}

fillHead();
fillScores();
fillFigures();
const mixtures = document.getElementById("mixtures");
if (report.rows.length === 1 && !report.columns.length) {
  mixtures.append(openMedia(report.rows[0].media).element); // the page of one recording
} else {
  new Table(mixtures);
}
