// The frames of a video element as RGB: a file's by number, a camera's as they come.

import {toRgb} from "./colour.js";
import {videoTrack} from "./container.js";
import {canDecode, decodedFrames} from "./decoder.js";

const MATRICES = {smpte170m: "bt601", bt470bg: "bt601", bt709: "bt709", "bt2020-ncl": "bt2020"};
const MATRIX_NUMBERS = {1: "bt709", 2: "bt601", 5: "bt601", 6: "bt601", 9: "bt2020"};  // of ITU-T H.273
const HDR = new Set(["pq", "hlg"]);
const LEAST_GAP = 0.002;  // seconds from a frame to the next one, to be told apart
const TRIES = 40, WAIT_MS = 25;  // for the frame that a seek leads to

/** A file that a browser plays, with the times of its frames. */
export class VideoFile {
  /**
   * @param {File} file
   * @param {HTMLVideoElement} element where it is shown and decoded
   * @param {function(): boolean} isWanted still; else the element is left to the one that is
   * @throws {Error} it is damaged, or of a format that is not read
   */
  static async open(file, element, isWanted) {
    const track = await videoTrack(file);
    if (!isWanted()) return null;
    if (element.src) URL.revokeObjectURL(element.src);
    element.src = URL.createObjectURL(file);
    element.preload = "auto";
    const reason = await Promise.race([
      once(element, "loadeddata", null),
      once(element, "error", "the browser has no decoder for it, or it is damaged")]);
    if (reason) throw new Error(reason);
    if (!element.videoWidth) throw new Error("the browser shows no picture of it");
    const first = await currentFrame(element);
    try {
      return new VideoFile(file, element, track, first);
    } finally {
      first?.close();
    }
  }

  constructor(file, element, {times, colours, turn, stream, damage}, first) {
    this.file = file;
    this.element = element;
    this.times = times;
    this.stream = stream;
    this.damage = damage;  // what is to be said of a file that is read in part
    this.look = {width: element.videoWidth, height: element.videoHeight, colours,
      turn: turn?.degrees ?? first?.rotation ?? 0,
      isMirrored: turn?.isMirrored ?? first?.flip ?? false, isStored: turn !== null};
    this.shift = first === null ? 0 : first.timestamp / 1e6 - times[0];
  }

  /**
   * Frames in order, {number, picture}, a picture {data, width, height}; the browser must not play
   * meanwhile. Few are sought, many decoded one after the other where the browser can, and so are those
   * of a file that gives them no times to seek.
   * @param {number[]} numbers ascending
   */
  async* pictures(numbers) {
    const hasTimes = numbers.every(number =>
      this.times[number + 1] === undefined || this.times[number + 1] - this.times[number] >= LEAST_GAP);
    const isMost = numbers.length > this.times.length / 4;
    if ((isMost || !hasTimes) && await canDecode(this.stream)) {
      let given = 0;
      try {
        for await (const each of this.#decoded(numbers)) {
          given++;
          yield each;
        }
        return;
      } catch (error) {  // pictures that only the element shows as they are meant are sought
        if (!(error instanceof Unconverted) || given > 0 || !hasTimes) throw error;
      }
    }
    if (!hasTimes) throw new Error("its frames have no times, by which the browser could find them");
    for (const number of numbers) yield {number, picture: await this.#sought(number)};
  }

  async* #decoded(numbers) {
    const {isTimed} = this.stream;
    let place = 0, count = 0;  // of the frame that is waited for; of those that came
    for await (const {number: own, frame} of decodedFrames(this.file, this.stream)) {
      const number = isTimed ? own : count;
      count++;
      try {
        if (number > numbers[place]) {
          throw new Error(`the browser leaves out frame ${numbers[place]}: the video is damaged there`);
        }
        if (number === numbers[place]) {
          yield {number, picture: await rgbOfFrame(frame, this.look, null)};
          place++;
        }
      } finally {
        frame.close();
      }
      if (place === numbers.length && isTimed) return;
    }
    if (place < numbers.length) throw new Error(`frame ${numbers[place]} cannot be decoded by the browser`);
    if (count < this.times.length) {  // of those without times nothing says which
      throw new Error(`the browser gives ${count} of ${this.times.length} frames: the video is damaged`);
    }
  }

  async #sought(number) {
    const {times, element} = this, time = times[number] + this.shift;
    const period = (times.at(-1) - times[0]) / Math.max(times.length - 1, 1) || 0.04;
    const next = number + 1 < times.length ? times[number + 1] + this.shift : time + period;
    const isOver = once(element, "seeked", null);
    element.currentTime = (time + next) / 2;
    const reason = await Promise.race([
      isOver, once(element, "error", `frame ${number} cannot be decoded by the browser`)]);
    if (reason) throw new Error(reason);
    const margin = (next - time) / 2;
    for (let tries = 0; tries < TRIES; tries++) {
      const frame = await currentFrame(element);
      if (frame === null) return fromCanvas(element);
      try {
        const shown = frame.timestamp / 1e6;
        if (shown > time - margin && shown < next - margin / 8) {
          return await rgbOfFrame(frame, this.look, element);
        }
      } finally {
        frame.close();
      }
      await wait();
    }
    throw new Error(`the browser does not show frame ${number} at ${time.toFixed(3)} s`);
  }
}

class Unconverted extends Error {}

const once = (element, event, value) => new Promise(
  done => element.addEventListener(event, () => done(value), {once: true}));

const wait = () => new Promise(done => setTimeout(done, WAIT_MS));

/** The frame that is shown; null where the browser does not give it out. */
async function currentFrame(element) {
  if (!("VideoFrame" in globalThis)) return null;
  for (let tries = 0; ; tries++) {
    try {
      return new VideoFrame(element);
    } catch (error) {
      // It has been decoded, and is not painted yet.
      if (error.name !== "InvalidStateError") throw error;
      if (tries === TRIES) throw new Error("the browser shows no picture of it: it is damaged");
      await wait();
    }
  }
}

/** The frame of a camera that is shown now, {data, width, height}. */
export async function currentPicture(element) {
  const frame = await currentFrame(element);
  if (frame === null) return fromCanvas(element);
  try {
    const look = {width: element.videoWidth, height: element.videoHeight, colours: null,
      turn: frame.rotation ?? 0, isMirrored: frame.flip ?? false, isStored: false};
    return await rgbOfFrame(frame, look, element);
  } finally {
    frame.close();
  }
}

/**
 * @param {VideoFrame} frame
 * @param {object} look its size upright with square pixels, its colours where the file says them, how far
 *   it is to be turned and mirrored, and whether the file says that
 * @param {HTMLVideoElement|null} element that shows it, if one does
 * @throws {Unconverted} only the browser can convert it, and no element shows it
 */
async function rgbOfFrame(frame, look, element) {
  const colours = coloursOf(frame, look.colours);
  const isTurned = look.turn % 180 !== 0;
  // Of a frame that is shown some browsers do not say how it is to be turned, nor whether they did.
  const isUpright = look.turn === 0 && !look.isMirrored;
  const isKnown = element === null || frame.rotation !== undefined || (look.isStored ? isUpright
    : (frame.displayWidth >= frame.displayHeight) === (look.width >= look.height));
  if (!(frame.format === "I420" || frame.format === "NV12") || colours === null || !isKnown) {
    if (element === null) throw new Unconverted("its pictures are of a kind that this page cannot convert");
    return fromCanvas(element);
  }
  const size = isTurned
    ? {width: look.height, height: look.width} : {width: look.width, height: look.height};
  return upright(toRgb(await planesOf(frame), colours, size), look.turn, look.isMirrored);
}

/** {matrix, isFull} of 8-bit pictures of ordinary colours; null where the browser has to convert them. */
function coloursOf({colorSpace: {matrix, transfer, fullRange}}, stored) {
  if (HDR.has(transfer)) return null;
  if (stored !== null) {
    const name = MATRIX_NUMBERS[stored.matrix];
    return name ? {matrix: name, isFull: stored.isFull} : null;
  }
  const name = MATRICES[matrix ?? "smpte170m"];
  return name ? {matrix: name, isFull: fullRange === true} : null;
}

async function planesOf(frame) {
  const data = new Uint8Array(frame.allocationSize());
  const [y, u, v] = await frame.copyTo(data);
  const {width, height} = frame.visibleRect;
  const chroma = {data, width: (width + 1) >> 1, height: (height + 1) >> 1};
  const luma = {data, ...y, step: 1, width, height};
  if (frame.format === "I420") {
    return {y: luma, u: {...chroma, ...u, step: 1}, v: {...chroma, ...v, step: 1}};
  }
  return {y: luma, u: {...chroma, ...u, step: 2},
    v: {...chroma, offset: u.offset + 1, stride: u.stride, step: 2}};
}

/** A picture turned clockwise by degrees, then mirrored from left to right. */
function upright({data, width, height}, degrees, isMirrored) {
  const turns = ((degrees % 360) + 360) % 360 / 90;
  if (turns === 0 && !isMirrored) return {data, width, height};
  const [newWidth, newHeight] = turns % 2 ? [height, width] : [width, height];
  const turned = new Uint8ClampedArray(data.length);
  for (let row = 0, to = 0; row < newHeight; row++) {
    for (let column = 0; column < newWidth; column++) {
      const x = isMirrored ? newWidth - 1 - column : column;
      const [fromRow, fromColumn] = [
        [row, x], [height - 1 - x, row], [height - 1 - row, width - 1 - x], [x, width - 1 - row],
      ][turns];
      const from = 3 * (fromRow * width + fromColumn);
      turned[to++] = data[from];
      turned[to++] = data[from + 1];
      turned[to++] = data[from + 2];
    }
  }
  return {data: turned, width: newWidth, height: newHeight};
}

let canvas = null;

/** The frame with the browser's own conversion of colours, which differs by a few of 255 steps. */
function fromCanvas(element) {
  const {videoWidth: width, videoHeight: height} = element;
  canvas ??= document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(element, 0, 0, width, height);
  const {data: rgba} = context.getImageData(0, 0, width, height);
  const data = new Uint8ClampedArray(3 * width * height);
  for (let from = 0, to = 0; from < rgba.length; from++) {
    if (from % 4 !== 3) data[to++] = rgba[from];
  }
  return {data, width, height};
}
