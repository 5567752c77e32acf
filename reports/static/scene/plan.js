"use strict";

// The scene from above: x to the right, z downwards, as on the page. The listener and musicians can be dragged.

const PLAN_MARGIN_M = 1;
const TOUCH_PX = 24;

class Plan {
  /** onmove: called with the number of a musician, or -1 for the listener, and a new x and z in metres. */
  constructor(canvas, musicians, listener, places, onmove) {
    Object.assign(this, { canvas, musicians, listener });
    const all = [...musicians.map(({ place }) => place), ...places.map(({ place }) => place)];
    const ends = [0, 2].map((a) => [Math.min(...all.map((p) => p[a])), Math.max(...all.map((p) => p[a]))]);
    this.centre = ends.map(([low, high]) => (low + high) / 2);
    this.spans = ends.map(([low, high]) => high - low + 2 * PLAN_MARGIN_M);
    let dragged = null;
    canvas.onpointerdown = (event) => {
      dragged = this.pick(event);
      if (dragged !== null) canvas.setPointerCapture(event.pointerId);
    };
    canvas.onpointermove = (event) => {
      if (dragged !== null) onmove(dragged, ...this.metres(event.offsetX, event.offsetY));
    };
    canvas.onpointerup = canvas.onpointercancel = () => { dragged = null; };
  }

  get scale() {
    return Math.min(this.canvas.clientWidth / this.spans[0], this.canvas.clientHeight / this.spans[1]);
  }

  pixels([x, , z]) {
    const { clientWidth, clientHeight } = this.canvas;
    return [clientWidth / 2 + (x - this.centre[0]) * this.scale, clientHeight / 2 + (z - this.centre[1]) * this.scale];
  }

  metres(x, y) {
    const { clientWidth, clientHeight } = this.canvas;
    return [this.centre[0] + (x - clientWidth / 2) / this.scale, this.centre[1] + (y - clientHeight / 2) / this.scale];
  }

  pick({ offsetX, offsetY }) {
    const marks = [this.listener, ...this.musicians].map(({ place }, n) => {
      const [x, y] = this.pixels(place);
      return { number: n - 1, distance: Math.hypot(x - offsetX, y - offsetY) };
    });
    const nearest = marks.reduce((a, b) => (b.distance < a.distance ? b : a));
    return nearest.distance <= TOUCH_PX ? nearest.number : null;
  }

  draw(isHeard) {
    const { canvas, listener } = this;
    const ratio = window.devicePixelRatio;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    pen.scale(ratio, ratio);
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "center";
    this.drawMetres(pen, colour("--line"));
    this.musicians.forEach((musician, n) => {
      const [x, y] = this.pixels(musician.place);
      pen.globalAlpha = isHeard[n] ? 1 : 0.35;
      pen.fillStyle = colour("--ink");
      pen.beginPath();
      pen.arc(x, y, 6, 0, 2 * Math.PI);
      pen.fill();
      pen.fillText(musician.name, x, n % 2 ? y + 20 : y - 11); // neighbours do not write over each other
    });
    pen.globalAlpha = 1;
    const [x, y] = this.pixels(listener.place);
    pen.fillStyle = colour("--accent");
    pen.translate(x, y);
    pen.rotate(-listener.facing);
    pen.beginPath();
    pen.moveTo(0, -14);
    pen.lineTo(8, 9);
    pen.lineTo(0, 5);
    pen.lineTo(-8, 9);
    pen.fill();
  }

  /** A line at every metre. */
  drawMetres(pen, colour) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const [low, high] = [this.metres(0, 0), this.metres(width, height)];
    pen.strokeStyle = colour;
    pen.beginPath();
    for (let x = Math.ceil(low[0]); x <= high[0]; x++) {
      pen.moveTo(this.pixels([x, 0, 0])[0], 0);
      pen.lineTo(this.pixels([x, 0, 0])[0], height);
    }
    for (let z = Math.ceil(low[1]); z <= high[1]; z++) {
      pen.moveTo(0, this.pixels([0, 0, z])[1]);
      pen.lineTo(width, this.pixels([0, 0, z])[1]);
    }
    pen.stroke();
  }
}
