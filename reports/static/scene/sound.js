"use strict";

// What is heard: each stem from where its musician stands, through the browser's head-related transfer functions.

const AHEAD_S = 3; // a piece is decoded and scheduled this long before it is due
const LEAD_S = 0.08; // from pressing play to the first sample
const GLIDE_S = 0.02; // changes of gains and places are not heard as clicks
const REVERB_S = 0.5; // until the room has decayed by 60 dB
const LOOK_S = 0.1; // between two looks at the loudness

class Sound {
  /** musicians: [{place: [x, y, z], muted, solo}] in metres, which others may change before `update`. */
  constructor(scene, musicians) {
    Object.assign(this, { scene, musicians });
    this.isMixture = false;
    this.isPlaying = false;
    this.repeats = true;
    this.levelDb = 0;
    this.room = 0;
    this.ear = { place: [0, 0, 0], facing: 0 };
    this.position = 0; // samples, while nothing plays
    this.sources = new Set();
    this.run = 0; // counts calls of play and stop, so that what is awaited knows that it comes too late
    this.mixtureGain = 1; // at which the recording as it is is as loud as the scene
    this.onend = () => {};
    this.onfailure = () => this.stop(); // takes the error of a piece that cannot be read
    setInterval(() => this.compare(), LOOK_S * 1000);
  }

  get rate() { return this.scene.rate_hz; }
  get seconds() { return this.scene.num_samples / this.rate; }

  /** Seconds from the beginning. */
  get time() {
    if (!this.isPlaying || this.start === null) return this.position / this.rate;
    return Math.min(Math.max(this.context.currentTime - this.start, this.position / this.rate), this.seconds);
  }

  /** Builds the graph; browsers want a click before. */
  open() {
    if (this.context) return;
    const context = new AudioContext({ sampleRate: this.rate });
    const gain = () => new GainNode(context, { gain: 0 });
    Object.assign(this, { context, pieces: new Pieces(context), start: null });
    Object.assign(this, { master: gain(), mixtureBus: gain(), sceneBus: gain(), reverbBus: gain() });
    const stereo = { channelCount: 2, channelCountMode: "explicit" };
    const [inScene, asItIs] = [new GainNode(context, stereo), new GainNode(context, stereo)]; // before either is silenced
    const reverb = new ConvolverNode(context, { buffer: this.roomResponse() });
    this.nodes = this.musicians.map(() => {
      const panner = new PannerNode(context, {
        panningModel: "HRTF", distanceModel: "inverse", refDistance: 1, rolloffFactor: 1,
      });
      const bus = gain();
      bus.connect(panner).connect(inScene);
      bus.connect(reverb);
      return { bus, panner };
    });
    reverb.connect(this.reverbBus).connect(inScene).connect(this.sceneBus).connect(this.master);
    asItIs.connect(this.mixtureBus).connect(this.master).connect(context.destination);
    const meter = (node) => new Meter(context, node);
    Object.assign(this, { asItIs, meters: { scene: meter(inScene), mixture: meter(asItIs), ears: meter(this.master) } });
    this.update(0);
  }

  /** A small room: noise that decays, the same at every visit, of power 1. */
  roomResponse() {
    const buffer = new AudioBuffer({ numberOfChannels: 2, length: REVERB_S * this.rate, sampleRate: this.rate });
    let seed = 1;
    const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
    for (let channel = 0; channel < 2; channel++) {
      const samples = buffer.getChannelData(channel);
      for (let n = 0; n < samples.length; n++) samples[n] = (2 * random() - 1) * 10 ** ((-3 * n) / samples.length);
    }
    return buffer;
  }

  /** Takes over places, levels and what is muted. */
  update(glide = GLIDE_S) {
    if (!this.context) return;
    const set = (parameter, value) =>
      glide ? parameter.setTargetAtTime(value, this.context.currentTime, glide) : (parameter.value = value);
    set(this.master.gain, 10 ** (this.levelDb / 20));
    set(this.sceneBus.gain, this.isMixture ? 0 : 1);
    set(this.mixtureBus.gain, this.isMixture ? this.mixtureGain : 0);
    set(this.reverbBus.gain, this.room);
    this.musicians.forEach((musician, n) => {
      set(this.nodes[n].bus.gain, this.isHeard(musician) ? 1 : 0);
      ["positionX", "positionY", "positionZ"].forEach((name, a) => set(this.nodes[n].panner[name], musician.place[a]));
    });
    const { place, facing } = this.ear;
    const forward = [-Math.sin(facing), 0, -Math.cos(facing)];
    const { listener } = this.context;
    if (listener.positionX) {
      ["positionX", "positionY", "positionZ"].forEach((name, a) => set(listener[name], place[a]));
      ["forwardX", "forwardY", "forwardZ"].forEach((name, a) => set(listener[name], forward[a]));
    } else { // browsers that have no parameters there
      listener.setPosition(...place);
      listener.setOrientation(...forward, 0, 1, 0);
    }
  }

  isHeard(musician) {
    return musician.solo || !(musician.muted || this.musicians.some(({ solo }) => solo));
  }

  /** Looks how loud the scene is beside the recording as it is, the mean of some seconds. */
  compare() {
    if (!this.isPlaying || this.time < WINDOW / this.rate) return;
    if (!this.musicians.some((one) => this.isHeard(one))) return; // then the recording stays as loud as it is
    const { scene, mixture } = this.meters;
    for (const meter of [scene, mixture]) meter.look(LOOK_S);
    if (scene.isSilent || mixture.isSilent) return;
    this.mixtureGain = Math.sqrt(scene.mean / mixture.mean);
    if (this.isMixture) this.update();
  }

  async play() {
    this.open();
    const run = ++this.run;
    this.isPlaying = true;
    this.start = null;
    await this.context.resume();
    const first = Math.floor(this.position / this.scene.piece_samples);
    await this.schedule(first, run);
  }

  /** Schedules a piece as soon as it is decoded, and the next some seconds before it is due. */
  async schedule(number, run) {
    const { piece_samples: length, num_samples: total } = this.scene;
    if (number * length >= total) {
      const rest = (this.start + this.seconds - this.context.currentTime) * 1000;
      setTimeout(() => run === this.run && this.end(), Math.max(0, rest));
      return;
    }
    let tracks;
    try {
      tracks = await this.pieces.get(number);
    } catch (error) {
      if (run === this.run) this.onfailure(error);
      return;
    }
    if (run !== this.run) return;
    const skipped = Math.max(0, this.position - number * length); // of the first piece
    const { currentTime } = this.context;
    const begin = (number * length + skipped) / this.rate;
    this.start ??= this.grid(currentTime + LEAD_S) - begin;
    if (this.start + begin < currentTime) this.start = this.grid(currentTime + LEAD_S) - begin; // it was late
    tracks.forEach((buffer, n) => {
      const source = new AudioBufferSourceNode(this.context, { buffer });
      source.connect(n ? this.nodes[n - 1].bus : this.asItIs);
      source.onended = () => { source.disconnect(); this.sources.delete(source); };
      source.start(this.start + begin, skipped / this.rate);
      this.sources.add(source);
    });
    const next = this.start + ((number + 1) * length) / this.rate - AHEAD_S - this.context.currentTime;
    setTimeout(() => run === this.run && this.schedule(number + 1, run), Math.max(0, next * 1000));
  }

  /** A time that falls on a sample: then nothing is interpolated. */
  grid(time) {
    return Math.ceil(time * this.rate) / this.rate;
  }

  stop() {
    this.position = Math.round(this.time * this.rate) % this.scene.num_samples;
    this.silence();
  }

  silence() {
    this.run++;
    this.isPlaying = false;
    for (const source of this.sources) source.stop();
    this.sources.clear();
  }

  end() {
    this.silence();
    this.position = 0;
    if (this.repeats) return this.play();
    return this.onend();
  }

  seek(seconds) {
    const was = this.isPlaying;
    this.silence();
    this.position = Math.min(Math.max(0, Math.round(seconds * this.rate)), this.scene.num_samples - 1);
    if (was) return this.play();
    return undefined;
  }

  /** The levels at the left and the right ear, in dB of full scale. */
  levels() {
    return this.context ? this.meters.ears.powers().map((power) => 10 * Math.log10(power + 1e-12)) : [-120, -120];
  }
}
