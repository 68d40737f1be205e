// What the page shows of a result: the labels with their scores, the times, the crops.

import {rankedLabels} from "./labels.js";

const MOST_LABELS = 5;

export const element = id => document.getElementById(id);

/** A line of what happens now; an error in the colour of errors. */
export function say(text, {isError = false} = {}) {
  const status = element("status");
  status.textContent = text;
  status.classList.toggle("error", isError);
}

/** Shows the part of frames that have been read; null hides it. */
export function showProgress(part) {
  element("progress").hidden = part === null;
  if (part !== null) element("progress").value = part;
}

export function clearResult() {
  element("result").hidden = true;
  element("labels").replaceChildren();
  element("seen").replaceChildren();
}

/** @param {number[]} logits @param {object} spec @param {string} latency */
export function showLabels(logits, spec, latency) {
  const ranked = rankedLabels(logits, spec), holding = ranked.filter(each => each.holds);
  element("verdict").textContent = holding.map(each => each.label).join(", ") || "None of the classes";
  const shown = ranked.slice(0, Math.max(MOST_LABELS, holding.length));
  element("labels").replaceChildren(...shown.map(labelLine));
  element("latency").textContent = latency;
  element("result").hidden = false;
}

function labelLine({label, score, holds}) {
  const line = document.createElement("li"), name = document.createElement("span");
  const number = document.createElement("span"), track = document.createElement("div");
  const bar = document.createElement("i");
  name.textContent = label;
  number.textContent = `${(100 * score).toFixed(1)} %`;
  track.className = "track";
  bar.style.width = `${100 * score}%`;
  track.append(bar);
  line.dataset.score = score;
  line.classList.toggle("holds", holds);
  line.append(name, number, track);
  return line;
}

/** The crops that the network has seen, with the second of each. */
export function showCrops(crops, seconds, size) {
  element("seen").replaceChildren(...crops.map((planes, place) => {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = size;
    const picture = new ImageData(size, size), area = size * size;
    for (let pixel = 0; pixel < area; pixel++) {
      picture.data.set(
        [planes[pixel], planes[pixel + area], planes[pixel + 2 * area], 255], 4 * pixel);
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
    caption.textContent = `${seconds[place].toFixed(2)} s`;
    figure.append(canvas, caption);
    return figure;
  }));
}

/** The time of what a backend has computed, in words. */
export function backendName({backend, threads}) {
  return backend === "webgpu" ? "WebGPU" : `WASM, ${threads} thread${threads > 1 ? "s" : ""}`;
}
