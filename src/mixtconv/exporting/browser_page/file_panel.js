// A file: one clip of it, or of a causal model its frames one after the other.

import {VideoFile} from "./frames.js";
import {RecentLogits} from "./labels.js";
import {clearResult, element, backendName, say, showCrops, showLabels, showProgress} from "./result.js";
import {clipFrames, framesAtRate} from "./sampling.js";

const MOST_CROPS = 16;  // shown of a stream: its last ones

let turn = 0;  // of what is recognized; a newer one ends an older one

/** Ends what is being recognized. */
export function stopFile() {
  turn++;
  showProgress(null);
}

/** @param {File} file @param {Recognizer} recognizer */
export async function recognizeFile(file, recognizer) {
  const mine = ++turn, isMine = () => turn === mine;
  const preview = element("preview");
  clearResult();
  say("Reading the video …");
  preview.hidden = false;
  preview.controls = false;
  try {
    const video = await VideoFile.open(file, preview, isMine);
    if (!isMine()) return;
    const recognize = recognizer.isStream ? recognizeStream : recognizeClip;
    await recognize(video, recognizer, isMine);
    if (isMine()) preview.currentTime = 0;
  } catch (error) {
    if (isMine()) say(`${file.name}: ${error.message}`, {isError: true});
  } finally {
    if (isMine()) {
      preview.controls = true;
      showProgress(null);
    }
  }
}

async function recognizeClip(video, recognizer, isMine) {
  const {spec} = recognizer, numbers = clipFrames(spec, video.times.length);
  const crops = new Map(), start = performance.now();
  const inOrder = [...new Set(numbers)].sort((a, b) => a - b);
  for await (const {number, picture} of video.pictures(inOrder)) {
    if (!isMine()) return;
    crops.set(number, recognizer.crop(picture));
    showProgress(crops.size / inOrder.length);
  }
  const reading = performance.now() - start;
  const clip = numbers.map(number => crops.get(number));
  const {logits, milliseconds} = await recognizer.run(clip);
  if (!isMine()) return;
  showLabels(logits, spec,
    `${numbers.length} of ${video.times.length} frames read in ${reading.toFixed(0)} ms, `
    + `network ${milliseconds.toFixed(1)} ms (${backendName(recognizer)}).`);
  showCrops(clip, numbers.map(number => video.times[number]), spec.image_size);
  sayDone(video);
}

async function recognizeStream(video, recognizer, isMine) {
  const {spec} = recognizer, field = element("file-rate");
  const rate = field.value === "" ? null : field.valueAsNumber;
  if (rate !== null && !(rate > 0)) throw new Error("frames per second are a number above 0, or left empty");
  const numbers = framesAtRate(video.times, rate), recent = new RecentLogits(spec.num_frames);
  const seen = [];
  let network = 0, count = 0;
  await recognizer.reset();
  say("Recognizing frame by frame …");
  for await (const {number, picture} of video.pictures(numbers)) {
    if (!isMine()) return;
    const crop = recognizer.crop(picture);
    const {logits, milliseconds} = await recognizer.run([crop]);
    if (!isMine()) return;
    network += milliseconds;
    seen.push({crop, seconds: video.times[number]});
    if (seen.length > MOST_CROPS) seen.shift();
    showProgress(++count / numbers.length);
    showLabels(recent.push(logits), spec,
      `Frame ${number} of ${video.times.length} at ${video.times[number].toFixed(2)} s; network `
      + `${(network / count).toFixed(1)} ms a frame (${backendName(recognizer)}).`);
  }
  showCrops(seen.map(each => each.crop), seen.map(each => each.seconds), spec.image_size);
  sayDone(video);
}

function sayDone({damage}) {
  say(damage === null ? "Done." : `Done, but ${damage}.`);
}
