// The network, in a thread of its own: the page stays alive while it computes. It answers messages
// {id, action, ...} with {id, result} or {id, error}.

import {bindThreads} from "./thread.js";

const RUNTIMES = {
  webgpu: "./ort/ort.webgpu.min.mjs",
  wasm: "./ort/ort.wasm.min.mjs",
};
const MOST_THREADS = 4;

let ort = null, session = null, description = null, states = {}, frameNumber = 0;

const ACTIONS = {
  /** Opens the model on a backend. */
  async open({backend, about}) {
    ort = await import(RUNTIMES[backend]);
    ort.env.logLevel = "error";
    ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
    const mayShare = self.crossOriginIsolated;  // memory, without which there are no threads
    const threads = mayShare ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
    ort.env.wasm.numThreads = threads;
    description = about;
    session = await ort.InferenceSession.create(new URL("model.onnx", import.meta.url).href, {
      executionProviders: backend === "webgpu" ? ["webgpu", "wasm"] : ["wasm"],
      logSeverityLevel: 3,
    });
    ACTIONS.reset();
    await ACTIONS.run({pixels: new Uint8Array(inputShape().reduce((size, length) => size * length))});
    ACTIONS.reset();  // the first run, for which kernels are compiled, says nothing of the others
    return {threads};
  },

  /** Forgets the past of a stream. */
  reset() {
    frameNumber = 0;
    Object.values(states).forEach(tensor => tensor.dispose());
    states = Object.fromEntries((description.states ?? []).map(({name, shape}) => {
      const size = shape.reduce((product, length) => product * length, 1);
      return [name, new ort.Tensor("float32", new Float32Array(size), [1, ...shape])];
    }));
  },

  /** Logits of a clip, or of the next frame of a stream: bytes, red, green and blue planes. */
  async run({pixels}) {
    const input = new ort.Tensor("uint8", pixels, inputShape());
    const name = description.states === null ? "video" : "frame";
    const start = performance.now();
    const rings = description.states?.some(({ring}) => ring);
    const number = () => new ort.Tensor("int64", BigInt64Array.of(BigInt(frameNumber)), [1]);
    const numbers = rings ? {frame_number: number()} : {};
    const results = await session.run({[name]: input, ...numbers, ...states});
    for (const {name, ring} of description.states ?? []) {
      if (ring) {
        keep(states[name], ring, results[ring.output].data);
      } else {
        states[name].dispose();
        states[name] = results[`next_${name}`];
      }
    }
    frameNumber += 1;
    const milliseconds = performance.now() - start;
    return {logits: Array.from(results.logits.data), milliseconds};
  },
};

/** Puts a frame (C, H, W) in the slot of the oldest one of a ring (C_m, slots * H, W). */
function keep({data, dims: [, channels]}, {slots, start}, frame) {
  const size = data.length / (channels * slots);
  for (let channel = 0; channel < channels; channel++) {
    const first = (start + channel) * size;
    data.set(frame.subarray(first, first + size),
             (channel * slots + frameNumber % slots) * size);
  }
}

/** (1, T, 3, S, S) of clips, (1, 3, S, S) of frames. */
function inputShape() {
  const {num_frames: length, image_size: size} = description.spec;
  return description.states === null ? [1, length, 3, size, size] : [1, 3, size, size];
}

let last = Promise.resolve();  // one message after the other, as each frame needs the one before

bindThreads();
self.onmessage = ({data: {id, action, ...rest}}) => {
  last = last.then(() => ACTIONS[action](rest)).then(
    result => self.postMessage({id, result}),
    error => self.postMessage({id, error: error?.message ?? String(error)}));
};
