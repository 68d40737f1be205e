// A recognizer for the page: crops pictures, and asks the network in its thread.

import {centerCrop} from "./resize.js";
import {startThread} from "./thread.js";

export class Recognizer {
  /**
   * @param {object} about the description of the model, `model.json`
   * @param {"webgpu"|"wasm"} backend
   */
  static async open(about, backend) {
    const recognizer = new Recognizer(about, backend);
    const {threads} = await recognizer.ask("open", {backend, about});
    recognizer.threads = threads;
    return recognizer;
  }

  constructor(about, backend) {
    [this.about, this.spec, this.backend] = [about, about.spec, backend];
    this.isStream = about.states !== null;
    this.waiting = new Map();
    this.worker = startThread(new URL("network.js", import.meta.url));
    this.worker.onmessage = ({data: {id, result, error}}) => {
      const {done, failed} = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) done(result); else failed(new Error(error));
    };
    this.worker.onerror = event => {
      const error = new Error(event.message || "a file of the page is missing");
      this.waiting.forEach(({failed}) => failed(error));
      this.waiting.clear();
    };
    this.count = 0;
  }

  ask(action, values = {}) {
    return new Promise((done, failed) => {
      this.waiting.set(++this.count, {done, failed});
      this.worker.postMessage({id: this.count, action, ...values});
    });
  }

  /** The part of a picture that the network sees, S x S in planes of red, green and blue. */
  crop(picture) {
    const size = this.spec.image_size, planes = new Uint8ClampedArray(3 * size * size);
    centerCrop(picture, size, planes, 0);
    return planes;
  }

  /** {logits, milliseconds} of crops: those of a clip, or one of a stream. */
  run(crops) {
    const pixels = new Uint8Array(crops.length * crops[0].length);
    crops.forEach((crop, place) => pixels.set(crop, place * crop.length));
    return this.ask("run", {pixels});
  }

  reset() {
    return this.ask("reset");
  }

  close() {
    this.worker.terminate();
  }
}
