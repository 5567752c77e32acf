"use strict";

// The recording in pieces of some seconds: scripts that hold every track as FLAC. Few are in memory at a time.

class Pieces {
  /** A context at the rate of the files: decoding changes no sample, and pieces join without a seam. */
  constructor(context) {
    this.context = context;
    this.decoded = new Map(); // number -> promise of an AudioBuffer for each track
  }

  /** The tracks of a piece, the mixture first; forgets all pieces but this one and its neighbours. */
  get(number) {
    for (const other of this.decoded.keys()) if (Math.abs(other - number) > 1) this.decoded.delete(other);
    if (!this.decoded.has(number)) {
      const tracks = this.load(number);
      this.decoded.set(number, tracks);
      tracks.catch(() => this.decoded.delete(number)); // then it is tried again
    }
    return this.decoded.get(number);
  }

  async load(number) {
    const packed = await Pieces.read(number);
    return Promise.all(packed.map(([scale, text]) => this.decode(scale, text)));
  }

  async decode(scale, text) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const buffer = await this.context.decodeAudioData(bytes.buffer);
    if (scale !== 1) {
      for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
        const samples = buffer.getChannelData(channel);
        for (let n = 0; n < samples.length; n++) samples[n] *= scale;
      }
    }
    return buffer;
  }

  /** What the script of a piece holds; the script itself is removed at once. */
  static read(number) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      Pieces.waiting.set(number, resolve);
      script.src = `scene/piece${number}.js`;
      script.onload = script.onerror = () => {
        script.remove();
        reject(new Error(`${script.src} cannot be read`)); // has no effect after what it holds has come
      };
      document.head.append(script);
    });
  }
}

Pieces.waiting = new Map();

/** Called by the scripts. */
window.scenePiece = (number, packed) => {
  Pieces.waiting.get(number)?.(packed);
  Pieces.waiting.delete(number);
};
