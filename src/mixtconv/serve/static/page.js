// The page: sends a video, or frames of the camera, to the service and shows its answers.
"use strict";

const byId = (id) => document.getElementById(id);
const percent = (score) => `${Math.round(100 * score)} %`;
const clock = (seconds) =>
  `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

// An element with properties and children; text is never read as HTML, and styles are set here
// because the policy of the page forbids them in attributes.
function element(name, { style = {}, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  Object.assign(node.style, style);
  node.append(...children);
  return node;
}

function showStatus(id, text, isError = false) {
  byId(id).textContent = text;
  byId(id).classList.toggle("error", isError);
}

// Labels with bars, the best first.
function scoreItems(predictions, rejected) {
  if (rejected) {
    const best = `best: ${rejected.label}, ${percent(rejected.score)}`;
    return [element("li", {}, `none of the classes (${best})`)];
  }
  if (!predictions.length) return [element("li", {}, "no label")]; // of a model of several
  return predictions.map(({ label, score }) =>
    element("li", {}, element("span", {}, label), element("b", {}, percent(score)),
      element("div", { className: "track", ariaHidden: "true" },
        element("i", { style: { width: `${100 * score}%` } }))));
}

// --- Tabs ------------------------------------------------------------------------------------
const tabs = [...document.querySelectorAll("[role=tab]")];

function selectTab(chosen) {
  for (const tab of tabs) {
    tab.ariaSelected = String(tab === chosen);
    tab.tabIndex = tab === chosen ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
  }
}

tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => selectTab(tab));
  tab.addEventListener("keydown", (event) => {
    const targets = {
      ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tabs.length - 1,
    };
    if (!(event.key in targets)) return;
    event.preventDefault();
    const target = tabs[(targets[event.key] + tabs.length) % tabs.length];
    selectTab(target);
    target.focus();
  });
});

// --- A video ---------------------------------------------------------------------------------
let video = null;

function chooseFile(file) {
  if (!file) return;
  video = file;
  const preview = byId("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.hidden = false;
  // A video that the browser cannot play may still be recognized.
  preview.onerror = () => { preview.hidden = true; };
  showStatus("video-status", `${file.name}, ${(file.size / 1e6).toFixed(1)} MB`);
}

async function post(address, parameters, file = video) {
  const body = new FormData();
  body.append("file", file, "video");
  let answer;
  try {
    answer = await fetch(`${address}?${new URLSearchParams(parameters)}`, { method: "POST", body });
  } catch {
    throw new Error("the service cannot be reached, or closed the connection");
  }
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error.message);
  return content;
}

function timelineElements({ segments }) {
  if (!segments.length) return [];
  const end = Math.max(...segments.map((segment) => segment.end));
  const order = [...new Set(segments.map((segment) => segment.label))];
  const background = (label) => `var(--label-${order.indexOf(label) % 8})`;
  // A model of several labels has a bar for each of them.
  const isOver = segments.some(({ start }, index) => index && start < segments[index - 1].end);
  const lanes = isOver ? order.map((label) => [label]) : [order];
  const bars = lanes.map((labels) => element("div", {
    className: "bar", role: "img",
    ariaLabel: isOver ? `${labels[0]} along the video` : "Labels along the video",
  }, ...segments.filter(({ label }) => labels.includes(label)).map(({ start, end: stop, label, score }) => element("span", {
      title: `${clock(start)} to ${clock(stop)}: ${label}, ${percent(score)}`,
      style: {
        left: `${(100 * start) / end}%`, width: `${(100 * (stop - start)) / end}%`,
        background: background(label),
      },
    }))));
  const rows = segments.map(({ start, end: stop, label, score }) => element("tr", {},
    element("td", {}, clock(start)), element("td", {}, clock(stop)),
    element("td", {}, element("i", { style: { background: background(label) } }), label),
    element("td", {}, percent(score))));
  const head = ["from", "to", "label", "score"].map((name) => element("th", { scope: "col" }, name));
  return [
    element("h2", {}, "Timeline"), ...bars,
    element("p", { className: "ends" },
      element("span", {}, clock(0)), element("span", {}, clock(end))),
    element("table", {},
      element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)),
  ];
}

function frameElements({ frames, num_frames: numFrames }) {
  const pictures = frames.map(({ number, jpeg }) => element("figure", {},
    element("img", { src: `data:image/jpeg;base64,${jpeg}`, alt: `frame ${number}` }),
    element("figcaption", {}, String(number))));
  return [
    element("h2", {}, `Input of the model: ${frames.length} of ${numFrames} frames`),
    element("div", { className: "sheet" }, ...pictures),
  ];
}

async function recognize() {
  if (!video) {
    showStatus("video-status", "choose a video first", true);
    return;
  }
  const name = video.name;
  byId("recognize").disabled = true;
  byId("result").hidden = true;
  byId("timeline").replaceChildren();
  try {
    showStatus("video-status", "recognizing ...");
    const answer = await post("v1/predict", { top_k: 5, frames: true });
    byId("labels").replaceChildren(...scoreItems(answer.predictions, answer.rejected));
    byId("frames").replaceChildren(...frameElements(answer));
    byId("result").hidden = false;
    showStatus("video-status", "recognizing along the video ...");
    await showTimeline(name);
  } catch (error) {
    showStatus("video-status", error.message, true);
  } finally {
    byId("recognize").disabled = false;
  }
}

// The labels of the whole video stay even if the timeline fails.
async function showTimeline(name) {
  const parameters = { window: byId("window").value, merge: true, top_k: 1 };
  if (byId("stride").value) parameters.stride = byId("stride").value;
  try {
    byId("timeline").replaceChildren(...timelineElements(await post("v1/timeline", parameters)));
    showStatus("video-status", `${name}: done`);
  } catch (error) {
    showStatus("video-status", `no timeline: ${error.message}`, true);
  }
}

byId("video-file").addEventListener("change", (event) => chooseFile(event.target.files[0]));
byId("video-form").addEventListener("submit", (event) => {
  event.preventDefault();
  recognize();
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // a file dropped beside the field would replace the page
    const isOver = event.target.closest?.("#drop") != null;
    byId("drop").classList.toggle("over", isOver && kind === "dragover");
    if (isOver && kind === "drop") chooseFile(event.dataTransfer.files[0]);
  });
}

// --- The camera ------------------------------------------------------------------------------
let live = null;

function stopLive(text = "stopped", isError = false) {
  if (!live) return;
  const { socket, media, timer } = live;
  live = null;
  clearTimeout(timer);
  media.getTracks().forEach((track) => track.stop());
  socket.close();
  byId("camera").srcObject = null;
  byId("camera").classList.remove("on");
  byId("live-frame").textContent = "";
  byId("live-start").textContent = "Start the camera";
  // Their ends are not known: the stream ended first.
  document.querySelectorAll("#live-events .open").forEach((each) => {
    each.textContent = `${each.dataset.from} – stop`;
  });
  showStatus("live-status", text, isError);
}

// One frame as the service takes it: width and height (16 bits each), then RGB.
function frameMessage(camera, side) {
  const scale = side / Math.min(camera.videoWidth, camera.videoHeight);
  const width = Math.round(camera.videoWidth * scale);
  const height = Math.round(camera.videoHeight * scale);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(camera, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height); // RGBA
  const message = new Uint8Array(4 + 3 * width * height);
  const sizes = new DataView(message.buffer);
  sizes.setUint16(0, width, true);
  sizes.setUint16(2, height, true);
  for (let from = 0, to = 4; from < data.length; from += 4) {
    message[to++] = data[from];
    message[to++] = data[from + 1];
    message[to++] = data[from + 2];
  }
  return message;
}

// The newest frame is sent once the last one is answered, and no faster than the rate.
function sendFrame() {
  if (!live) return;
  live.sent = performance.now();
  live.socket.send(frameMessage(byId("camera"), Number(byId("live").dataset.side)));
}

async function openCamera() {
  const media = await navigator.mediaDevices.getUserMedia({ video: true, audio: false });
  try {
    byId("camera").srcObject = media;
    byId("camera").classList.add("on");
    await byId("camera").play();
  } catch (error) {
    media.getTracks().forEach((track) => track.stop());
    throw error;
  }
  return media;
}

async function startLive() {
  if (!navigator.mediaDevices) {
    showStatus("live-status", "browsers allow cameras on this machine or over https only", true);
    return;
  }
  const button = byId("live-start");
  button.disabled = true; // a second click would start a second stream
  showStatus("live-status", "waiting for the camera ...");
  try {
    connectLive(await openCamera());
    button.textContent = "Stop the camera";
  } catch (error) {
    byId("camera").classList.remove("on");
    showStatus("live-status", `no camera: ${error.message}`, true);
  } finally {
    button.disabled = false;
  }
}

const liveRate = () => Math.min(60, Math.max(1, Number(byId("live-rate").value) || 8));

// The latest event is on top; it has an end when that is certain.
const SHOWN_EVENTS = 50;

function showLiveEvent({ state, label, start, end, score }) {
  const list = byId("live-events");
  const key = `${label} ${start}`;
  const until = state === "ended" ? clock(end) : "…";
  const times = element("span", {}, `${clock(start)} – ${until}`);
  if (state !== "ended") times.className = "open";
  times.dataset.from = clock(start);
  const item = element("li", {}, times, element("b", {}, label), element("span", {}, percent(score)));
  item.dataset.key = key;
  const earlier = [...list.children].find((each) => each.dataset.key === key);
  if (earlier) earlier.replaceWith(item);
  else list.prepend(item);
  while (list.children.length > SHOWN_EVENTS) list.lastChild.remove();
}

function connectLive(media) {
  const address = new URL("v1/live?top_k=5", document.baseURI);
  if (byId("live-events")) {
    address.searchParams.set("events", "true");
    address.searchParams.set("fps", liveRate());
    byId("live-events").replaceChildren();
  }
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  live = { socket, media, timer: 0, sent: 0 };
  const isCurrent = () => live !== null && live.socket === socket; // events of a stopped one may come late
  socket.onopen = () => {
    if (!isCurrent()) return;
    showStatus("live-status", "live");
    sendFrame();
  };
  socket.onmessage = (message) => {
    if (!isCurrent()) return;
    const answer = JSON.parse(message.data);
    if (answer.error) {
      stopLive(answer.error.message, true);
      return;
    }
    byId("live-labels").replaceChildren(...scoreItems(answer.predictions));
    (answer.events ?? []).forEach(showLiveEvent);
    byId("live-frame").textContent = `frame ${answer.frame}`; // no status: those are read aloud
    live.timer = setTimeout(sendFrame, live.sent + 1000 / liveRate() - performance.now());
  };
  socket.onclose = () => {
    if (isCurrent()) stopLive("the service closed the stream", true);
  };
}

// A model that is not causal has no camera.
byId("live-start")?.addEventListener("click", () => (live ? stopLive() : startLive()));
window.addEventListener("pagehide", () => stopLive());
