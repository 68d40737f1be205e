// What the page does: it sends a video or frames to the service and shows what comes back.
window.mixtconv = (() => {
  "use strict";
  const by = (id) => document.getElementById(id);
  const escaped = (text) =>
    String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const percent = (score) => `${Math.round(100 * score)} %`;
  const clock = (seconds) =>
    `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

  // --- A video -------------------------------------------------------------------------------
  const NOTHING = [{}, "", ""]; // Gradio's labels cannot be null
  let video = null;

  function say(text, isFault = false) {
    const status = by("video-status");
    status.textContent = text;
    status.classList.toggle("fault", isFault);
  }

  function choose(file) {
    if (!file) return;
    video = file;
    const preview = by("preview");
    URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(file);
    preview.hidden = false;
    // What the browser cannot show may still be recognized.
    preview.onerror = () => { preview.hidden = true; };
    say(`${file.name}, ${(file.size / 1e6).toFixed(1)} MB`);
  }

  async function ask(address, parameters) {
    const body = new FormData();
    body.append("file", video, "video");
    const query = new URLSearchParams(parameters);
    let answer;
    try {
      answer = await fetch(`${address}?${query}`, { method: "POST", body });
    } catch {
      throw new Error("the service cannot be reached, or ended the connection");
    }
    const content = await answer.json();
    if (!answer.ok) throw new Error(content.error.message);
    return content;
  }

  function timelineOf(answer) {
    const segments = answer.segments;
    if (!segments.length) return "";
    const end = segments[segments.length - 1].end;
    const order = [...new Set(segments.map((segment) => segment.label))];
    const colour = (label) => `var(--label-${order.indexOf(label) % 8})`;
    const bars = segments.map((segment) => {
      const times = `${clock(segment.start)} to ${clock(segment.end)}`;
      return `<span style="left:${(100 * segment.start) / end}%;` +
        `width:${(100 * (segment.end - segment.start)) / end}%;` +
        `background:${colour(segment.label)}" ` +
        `title="${times}: ${escaped(segment.label)}, ${percent(segment.score)}"></span>`;
    });
    const rows = segments.map((segment) =>
      `<tr><td>${clock(segment.start)}</td><td>${clock(segment.end)}</td>` +
      `<td><i style="background:${colour(segment.label)}"></i>${escaped(segment.label)}</td>` +
      `<td>${percent(segment.score)}</td></tr>`);
    return "<h3>Timeline</h3>" +
      `<div class="bar" role="img" aria-label="Labels along the video">${bars.join("")}</div>` +
      `<p class="ends"><span>0:00.0</span><span>${clock(end)}</span></p>` +
      "<table><thead><tr><th>from</th><th>to</th><th>label</th><th>score</th></tr></thead>" +
      `<tbody>${rows.join("")}</tbody></table>`;
  }

  function framesOf(answer) {
    const pictures = answer.frames.map((frame) =>
      `<figure><img src="data:image/jpeg;base64,${frame.jpeg}" alt="frame ${frame.number}">` +
      `<figcaption>${frame.number}</figcaption></figure>`);
    return `<h3>Frames that the model saw, of ${answer.num_frames}</h3>` +
      `<div class="sheet">${pictures.join("")}</div>`;
  }

  // The labels of the video stand even where there is no timeline.
  async function timeline(length, stride) {
    const parameters = { window: length, merge: true, top_k: 1 };
    if (stride) parameters.stride = stride;
    try {
      const along = timelineOf(await ask("v1/timeline", parameters));
      say(`${video.name}: done`);
      return along;
    } catch (error) {
      say(`no timeline: ${error.message}`, true);
      return "";
    }
  }

  async function recognize(length, stride) {
    if (!video) {
      say("choose a video first", true);
      return NOTHING;
    }
    const button = by("recognize");
    button.disabled = true;
    try {
      say("recognizing ...");
      const labels = await ask("v1/predict", { top_k: 5, frames: true });
      const confidences = labels.predictions.map(
        (each) => ({ label: each.label, confidence: each.score }));
      say("recognizing along the video ...");
      const along = await timeline(length, stride);
      return [{ label: confidences[0].label, confidences }, along, framesOf(labels)];
    } catch (error) {
      say(error.message, true);
      return NOTHING;
    } finally {
      button.disabled = false;
    }
  }

  // --- The camera ----------------------------------------------------------------------------
  let live = null;

  function sayLive(text, isFault = false) {
    by("live-status").textContent = text;
    by("live-status").classList.toggle("fault", isFault);
  }

  function stopLive(text = "stopped", isFault = false) {
    if (!live) return;
    const { socket, media, timer } = live;
    live = null;
    clearTimeout(timer);
    media.getTracks().forEach((track) => track.stop());
    socket.close();
    by("camera").srcObject = null;
    by("live-frame").textContent = "";
    by("live-start").textContent = "Start the camera";
    sayLive(text, isFault);
  }

  // One frame as the service takes it: width, height, RGB.
  function pixels(camera, side) {
    const scale = side / Math.min(camera.videoWidth, camera.videoHeight);
    const width = Math.round(camera.videoWidth * scale);
    const height = Math.round(camera.videoHeight * scale);
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(camera, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const message = new Uint8Array(4 + 3 * width * height);
    new DataView(message.buffer).setUint16(0, width, true);
    new DataView(message.buffer).setUint16(2, height, true);
    for (let from = 0, to = 4; from < data.length; from += 4) {
      message[to++] = data[from];
      message[to++] = data[from + 1];
      message[to++] = data[from + 2];
    }
    return message;
  }

  // The newest frame is sent when the answer to the last is there, and not before its time.
  function sendFrame() {
    if (!live) return;
    live.sent = performance.now();
    live.socket.send(pixels(by("camera"), Number(by("live").dataset.side)));
  }

  function showLabels(answer) {
    by("live-labels").innerHTML = answer.predictions.map((each) =>
      `<li><span>${escaped(each.label)}</span><b>${percent(each.score)}</b>` +
      `<meter value="${each.score}" aria-hidden="true"></meter></li>`).join("");
    by("live-frame").textContent = `frame ${answer.frame}`; // not a status, which is read aloud
  }

  async function startLive() {
    if (!navigator.mediaDevices) {
      sayLive("browsers give cameras to pages of this machine or of https only", true);
      return;
    }
    sayLive("asking for the camera ...");
    const button = by("live-start");
    button.disabled = true; // a second click meanwhile would start a second stream
    let media;
    try {
      media = await navigator.mediaDevices.getUserMedia({ video: true, audio: false });
      by("camera").srcObject = media;
      await by("camera").play();
    } catch (error) {
      if (media) media.getTracks().forEach((track) => track.stop());
      sayLive(`there is no camera: ${error.message}`, true);
      return;
    } finally {
      button.disabled = false;
    }
    const address = new URL("v1/live?top_k=5", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    live = { socket, media, timer: 0, sent: 0 };
    button.textContent = "Stop the camera";
    const isNow = () => live !== null && live.socket === socket; // one stopped before may linger
    socket.onopen = () => {
      if (!isNow()) return;
      sayLive("the model looks");
      sendFrame();
    };
    socket.onmessage = (message) => {
      if (!isNow()) return;
      const answer = JSON.parse(message.data);
      if (answer.error) {
        stopLive(answer.error.message, true);
        return;
      }
      showLabels(answer);
      const rate = Math.min(60, Math.max(1, Number(by("live-rate").value) || 8));
      live.timer = setTimeout(sendFrame, live.sent + 1000 / rate - performance.now());
    };
    socket.onclose = () => {
      if (isNow()) stopLive("the service ended the stream", true);
    };
  }

  // The parts of the page come and go: what they do is told to the document.
  document.addEventListener("change", (event) => {
    if (event.target.id === "video-file") choose(event.target.files[0]);
  });
  document.addEventListener("click", (event) => {
    if (event.target.id === "live-start") live ? stopLive() : startLive();
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      const place = event.target.closest && event.target.closest("#drop");
      event.preventDefault();
      if (!place) return;
      place.classList.toggle("over", kind === "dragover");
      if (kind === "drop") choose(event.dataTransfer.files[0]);
    });
  }
  window.addEventListener("pagehide", () => stopLive());

  return { recognize };
})();
