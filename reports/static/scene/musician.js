"use strict";

// A musician: where it was captured, or goes by its track, and how far the listener has moved it away from there.

class Musician {
  /** place_m: [3] metres. track: [[seconds, x, y, z]], empty for one who does not move. */
  constructor({ name, cloud, place_m, track }) {
    Object.assign(this, { name, cloud, track, home: [...place_m], place: [...place_m] });
    this.muted = this.solo = false;
  }

  /** Moves it to a place, from where it follows its track. */
  moveTo(x, z) {
    [this.place[0], , this.place[2]] = [x, 0, z];
  }

  goHome() {
    this.place = [...this.home];
  }

  /** Follows the track to a time in seconds; whether it moved. */
  follow(seconds) {
    if (!this.track.length) return false;
    const home = this.homeAt(seconds);
    const step = home.map((value, a) => value - this.home[a]);
    this.home = home;
    this.place = this.place.map((value, a) => value + step[a]);
    return step.some((value) => value !== 0);
  }

  homeAt(seconds) {
    const next = this.track.findIndex(([time]) => time > seconds);
    if (next < 0) return this.track[this.track.length - 1].slice(1);
    if (next === 0) return this.track[0].slice(1);
    const [from, to] = [this.track[next - 1], this.track[next]];
    const share = (seconds - from[0]) / (to[0] - from[0]);
    return [1, 2, 3].map((a) => from[a] + share * (to[a] - from[a]));
  }
}
