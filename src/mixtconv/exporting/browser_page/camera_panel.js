// The camera: of a causal model every frame at a rate, its past fed back; else a clip of the last seconds.

import {currentPicture} from "./frames.js";
import {RecentLogits} from "./labels.js";
import {backendName, clearResult, element, say, showCrops, showLabels} from "./result.js";
import {clipFrames} from "./sampling.js";

let stream = null;
let turn = 0;  // of the camera; a newer one, or a stop, ends an older one, also one that still asks
let isOn = false;

export const isRunning = () => isOn;

export function stopCamera() {
  turn++;
  isOn = false;
  stream?.getTracks().forEach(track => track.stop());
  stream = null;
  element("camera").srcObject = null;
  element("camera").hidden = true;
  element("start").textContent = "Start the camera";
}

/** @param {Recognizer} recognizer */
export async function startCamera(recognizer) {
  const camera = element("camera"), rate = element("rate").valueAsNumber;
  const seconds = element("window").valueAsNumber;
  if (!(rate > 0) || !(seconds > 0)) {
    say("Frames per second and seconds are numbers above 0.", {isError: true});
    return;
  }
  clearResult();
  say("Asking for the camera …");
  element("start").textContent = "Stop";
  isOn = true;
  const mine = ++turn, isMine = () => turn === mine;
  let failed = "No camera";
  try {
    if (!navigator.mediaDevices) throw new Error("a page is given it only over https or localhost");
    const given = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment"}});
    if (!isMine()) {
      given.getTracks().forEach(track => track.stop());
      return;
    }
    camera.srcObject = stream = given;
    camera.hidden = false;
    await camera.play();
    if (!isMine()) return;
    say("");
    failed = "The recognition failed";
    const next = recognizer.isStream ? frameByFrame(recognizer) : slidingClip(recognizer, seconds);
    await follow(camera, rate, next, isMine);
  } catch (error) {
    if (isMine()) {
      stopCamera();
      say(`${failed}: ${error.message}.`, {isError: true});
    }
  }
}

/** Gives what is shown to `next` at a rate; frames that come while it is busy are left out. */
async function follow(camera, rate, next, goesOn) {
  const start = performance.now();
  let due = start, number = 0;
  while (goesOn()) {
    await shown(camera);
    const now = performance.now();
    if (!goesOn() || now < due - 1) continue;
    due = Math.max(due + 1000 / rate, now - 1000 / rate);
    await next(await currentPicture(camera), (now - start) / 1000, number++, goesOn);
  }
}

/** Waits for the next picture of the camera; not for ever, as a hidden page is shown none. */
function shown(camera) {
  return new Promise(done => {
    if (camera.requestVideoFrameCallback) camera.requestVideoFrameCallback(done);
    setTimeout(done, 250);
  });
}

const inWords = (number, seconds, milliseconds, recognizer) =>
  `Frame ${number}, ${(number / Math.max(seconds, 0.001)).toFixed(1)} a second; network `
  + `${milliseconds.toFixed(1)} ms (${backendName(recognizer)}).`;

function frameByFrame(recognizer) {
  const recent = new RecentLogits(recognizer.spec.num_frames), isReset = recognizer.reset();
  return async (picture, seconds, number, goesOn) => {
    await isReset;
    const {logits, milliseconds} = await recognizer.run([recognizer.crop(picture)]);
    if (!goesOn()) return;
    const words = inWords(number, seconds, milliseconds, recognizer);
    showLabels(recent.push(logits), recognizer.spec, words);
  };
}

function slidingClip(recognizer, length) {
  const kept = [], {spec} = recognizer;
  let isBusy = false;
  return async (picture, seconds, number, goesOn) => {
    kept.push({seconds, crop: recognizer.crop(picture)});
    while (kept[0].seconds <= seconds - length) kept.shift();
    if (isBusy) return;  // frames are kept while the network computes
    isBusy = true;
    const clip = clipFrames(spec, kept.length).map(place => kept[place]);
    recognizer.run(clip.map(each => each.crop)).then(({logits, milliseconds}) => {
      if (!goesOn()) return;
      showLabels(logits, spec, inWords(number, seconds, milliseconds, recognizer));
      showCrops(clip.map(each => each.crop), clip.map(each => each.seconds), spec.image_size);
    }).catch(error => {
      if (goesOn()) say(`The network failed: ${error.message}`, {isError: true});
    }).finally(() => {
      isBusy = false;
    });
  };
}
