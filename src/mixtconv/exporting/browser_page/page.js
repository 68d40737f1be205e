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
    recognizer = await Recognizer.open(about, backend);
    say("");
    element("file").disabled = element("start").disabled = false;
  } catch (error) {
    say(`The model cannot be opened on ${backend}: ${error.message}`, {isError: true});
  }
  element("backend").disabled = false;
}

/** The GPU where the browser has one for pages. */
async function bestBackend() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const choice = element("backend").querySelector("[value=webgpu]");
  choice.disabled = !adapter;
  if (!adapter) choice.textContent += ": not in this browser";
  const asked = new URLSearchParams(location.search).get("backend");
  return adapter && asked !== "wasm" ? "webgpu" : "wasm";
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
  element("backend").value = await bestBackend();
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
  await open(event.target.value);
  recognize();
});
element("file").addEventListener("change", event => take(event.target.files));
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
