"use strict";

// How loud a node of the graph is.

const WINDOW = 8192; // samples that are looked at
const MEMORY_S = 1; // of the mean
const SILENCE = 1e-10; // power

class Meter {
  constructor(context, node) {
    const splitter = new ChannelSplitterNode(context, { numberOfOutputs: 2 });
    node.connect(splitter);
    this.analysers = [0, 1].map((channel) => {
      const analyser = new AnalyserNode(context, { fftSize: WINDOW, channelCount: 1 });
      splitter.connect(analyser, channel);
      return analyser;
    });
    this.samples = new Float32Array(WINDOW);
    this.mean = null;
  }

  /** The power at either ear now. */
  powers() {
    return this.analysers.map((analyser) => {
      analyser.getFloatTimeDomainData(this.samples);
      return this.samples.reduce((sum, value) => sum + value * value, 0) / WINDOW;
    });
  }

  /** Takes a look, `seconds` after the last, into the mean power of both ears. */
  look(seconds) {
    const power = this.powers().reduce((a, b) => a + b) / 2;
    const weight = this.mean === null ? 1 : Math.min(1, seconds / MEMORY_S);
    this.mean = (1 - weight) * (this.mean ?? 0) + weight * power;
  }

  get isSilent() { return this.mean === null || this.mean < SILENCE; }
}
