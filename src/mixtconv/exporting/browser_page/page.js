// The page: opens the model on a backend, and hands files and the camera to it.

import {isRunning, startCamera, stopCamera} from "./camera_panel.js";
import {recognizeFile, stopFile} from "./file_panel.js";
import {Recognizer} from "./recognizer.js";
import {clearResult, element, say} from "./result.js";

let about = null, recognizer = null, file = null;

async function open(backend) {
  element("backend").disabled = element("file").disabled = element("start").disabled = true;
  stopCamera();
  stopFile();
  clearResult();
  say("Loading the model …");
  recognizer?.close();
  recognizer = null;
  try {
    if (backend === "webgpu" && !await navigator.gpu.requestAdapter()) {
      throw new Error("the browser has no graphics card for pages; choose the CPU");
    }
    recognizer = await Recognizer.open(about, backend);
    say("");
    element("file").disabled = element("start").disabled = false;
  } catch (error) {
    say(`The model cannot run on ${backend}: ${error.message}`, {isError: true});
  }
  element("backend").disabled = false;
}

/**
 * The backend of the address (`?backend=webgpu`), or the one chosen last, or the CPU. A browser without a
 * graphics card writes a warning to its console if it is asked for one, so it is asked only then.
 */
function chosenBackend() {
  const asked = new URLSearchParams(location.search).get("backend") ?? remembered();
  const choice = element("backend").querySelector("[value=webgpu]");
  return asked === "webgpu" && !choice.disabled ? "webgpu" : "wasm";
}

/** The backend that was chosen last, where the browser remembers anything. */
function remembered() {
  try {
    return localStorage.getItem("backend");
  } catch {
    return null;
  }
}

function remember(backend) {
  try {
    localStorage.setItem("backend", backend);
  } catch {
    // it may be kept from storing
  }
}

async function start() {
  try {
    const answer = await fetch("model.json");
    if (!answer.ok) throw new Error(`model.json is not there (${answer.status})`);
    about = await answer.json();
  } catch (error) {
    say(`The page is not whole: ${error.message}`, {isError: true});
    return;
  }
  const {spec, states} = about, isStream = states !== null;
  element("about").textContent = `${spec.name}, ${spec.classes.length} classes, `
    + `${isStream ? "frame by frame" : `clips of ${spec.num_frames} frames`}. Everything is computed `
    + "in this browser; no video leaves this device.";
  element("window-label").hidden = isStream;
  const choice = element("backend").querySelector("[value=webgpu]");
  // Streams convolve each channel over time, for which ONNX Runtime has no kernel on WebGPU.
  const lack = isStream ? ": for clips alone" : navigator.gpu ? "" : ": not in this browser";
  choice.disabled = lack !== "";
  choice.textContent += lack;
  element("backend").value = chosenBackend();
  await open(element("backend").value);
}

function recognize() {
  if (file === null || recognizer === null) return;
  element("file-settings").hidden = !recognizer.isStream;
  recognizeFile(file, recognizer);
}

function take(files) {
  if (files.length === 0) return;
  [file] = files;
  recognize();
}

function select(tab) {
  for (const each of document.querySelectorAll("[role=tab]")) {
    const isIt = each === tab;
    each.setAttribute("aria-selected", isIt);
    each.tabIndex = isIt ? 0 : -1;
    element(each.getAttribute("aria-controls")).hidden = !isIt;
  }
  stopCamera();
  stopFile();
  clearResult();
  if (recognizer) say("");
}

const tabs = [...document.querySelectorAll("[role=tab]")];
tabs.forEach((tab, place) => {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", event => {
    const to = {ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tabs.length - 1}[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = tabs.at(to % tabs.length);
    select(next);
    next.focus();
  });
});

element("backend").addEventListener("change", async event => {
  remember(event.target.value);
  await open(event.target.value);
  if (!element("panel-file").hidden) recognize();
});
element("file").addEventListener("change", event => take(event.target.files));
element("file").addEventListener("click", event => {
  event.target.value = "";  // the same file can be chosen again
});
element("again").addEventListener("click", recognize);
element("start").addEventListener("click", () => {
  if (isRunning()) {
    stopCamera();
    say("Stopped.");
  } else if (recognizer) {
    startCamera(recognizer);
  }
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  element("drop").addEventListener(kind, event => {
    event.preventDefault();
    element("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && recognizer) take(event.dataTransfer.files);
  });
}
start();
