"use strict";

// Where the listener stands and looks: places in metres as in scene.json, `facing` in radians, 0 towards -z, positive to
// the left.

const EARS_M = 1.6; // above the floor
const WALK_M_S = 1.6;
const TURN_S = 1.6; // radians a second
const KEYS = {
  KeyW: "forward", ArrowUp: "forward", KeyS: "back", ArrowDown: "back", KeyA: "left", KeyD: "right",
  ArrowLeft: "turnLeft", ArrowRight: "turnRight", KeyQ: "turnLeft", KeyE: "turnRight",
};

class Listener {
  constructor(floor) {
    this.place = [0, floor + EARS_M, 0];
    this.facing = 0;
    this.held = new Set(); // what keys and buttons ask for
  }

  goTo({ place, facing }) {
    this.moveTo(place[0], place[2]);
    this.facing = facing;
  }

  moveTo(x, z) {
    [this.place[0], , this.place[2]] = [x, 0, z];
  }

  turn(radians) {
    this.facing = Math.atan2(Math.sin(this.facing + radians), Math.cos(this.facing + radians));
  }

  /** Moves for some seconds as keys and buttons ask; whether anything did. */
  step(seconds, held = this.held) {
    const asks = (name) => Number(held.has(name));
    const ahead = asks("forward") - asks("back");
    const aside = asks("right") - asks("left");
    const turn = asks("turnLeft") - asks("turnRight");
    this.turn(turn * TURN_S * seconds);
    const distance = (WALK_M_S * seconds) / (Math.hypot(ahead, aside) || 1);
    const [sine, cosine] = [Math.sin(this.facing), Math.cos(this.facing)];
    this.place[0] += distance * (-sine * ahead + cosine * aside);
    this.place[2] += distance * (-cosine * ahead - sine * aside);
    return Boolean(ahead || aside || turn);
  }

  /** A place's distance in metres and direction in degrees, positive to the left. */
  towards(place) {
    const [x, , z] = place.map((value, a) => value - this.place[a]);
    const angle = Math.atan2(-x, -z) - this.facing;
    return { metres: Math.hypot(x, z), degrees: (Math.atan2(Math.sin(angle), Math.cos(angle)) * 180) / Math.PI };
  }
}

/** The places to jump to: before the ensemble, in the hall, and beside each musician. */
function placesOf(musicians) {
  const mean = (a) => musicians.reduce((sum, { place }) => sum + place[a], 0) / musicians.length;
  const front = Math.max(...musicians.map(({ place }) => place[2]));
  const spread = Math.max(...musicians.map(({ place }) => place[0])) - Math.min(...musicians.map(({ place }) => place[0]));
  const before = (name, metres) => ({ name, place: [mean(0), 0, front + metres], facing: 0 });
  const beside = musicians.map(({ name, place: [x, y, z] }) => ({
    name: `beside ${name}`, place: [x + 1, y, z], facing: Math.PI / 2, // looking at them from their left
  }));
  return [before("conductor", 1.2 + 0.4 * spread), before("audience", 4 + spread), ...beside];
}
