// The timeline of a recording: its video, the events found beside the annotated ones, and scores.
// `showEvents(root, recording)` draws it into an element. It is part of the page of events and of
// the page of the service, loads nothing, and sets styles as the policies of both allow.
"use strict";

const showEvents = (() => {
  const MAX_WIDTH = 60000; // pixels of a track, which browsers still draw well
  const MAX_SCALE = 300; // pixels a second
  const TICK = 80; // pixels between marks of time, at least
  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const COLOURS = 8;
  const SVG = "http://www.w3.org/2000/svg";
  let numViews = 0;

  function make(name, { style = {}, aria = {}, ...properties } = {}, ...children) {
    const node = Object.assign(document.createElement(name), properties);
    Object.assign(node.style, style);
    for (const [key, value] of Object.entries(aria)) node.setAttribute(`aria-${key}`, value);
    node.append(...children);
    return node;
  }

  function makeSvg(name, attributes, ...children) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function clock(seconds, digits = 1) {
    const unit = 10 ** digits;
    const whole = Math.round(seconds * unit) / unit;
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    const rest = (whole % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  }

  const percent = (score) => `${Math.round(100 * score)} %`;

  // A step curve over the unit square stretched to the recording: 1 is at its top.
  function curvePath({ starts, end }, values, isClosed) {
    if (!starts.length) return "";
    const parts = [isClosed ? `M${starts[0]} 1V${1 - values[0]}` : `M${starts[0]} ${1 - values[0]}`];
    values.forEach((value, at) => {
      parts.push(`V${(1 - value).toFixed(3)}H${at + 1 < starts.length ? starts[at + 1] : end}`);
    });
    return parts.join("") + (isClosed ? "V1Z" : "");
  }

  // What the table and the legend say of an event; the verdict is also the class of its bar.
  const VERDICTS = {
    right: "found, matches", wrong: "found, no match", none: "found",
    found: "annotated, found", missed: "annotated, missed",
  };

  function rowsOf({ events, annotated }) {
    const found = events.map((event) => ({
      ...event, kind: "found",
      verdict: annotated ? (event.match === null ? "wrong" : "right") : "none",
    }));
    const true_ = (annotated ?? []).map((event) => ({
      ...event, kind: "annotated", verdict: event.found ? "found" : "missed",
    }));
    return { found, annotated: true_ };
  }

  return function showEvents(root, recording) {
    const prefix = `events-${numViews++}`;
    const scores = recording.scores ?? { starts: [], end: 0, classes: [] };
    const { found, annotated } = rowsOf(recording);
    const hasTruth = recording.annotated != null;
    const length = Math.max(
      recording.seconds ?? 0, scores.end, ...[...found, ...annotated].map((event) => event.end), 0.1,
    );
    const labels = scores.classes.map((each) => each.label);
    for (const event of [...found, ...annotated]) {
      if (!labels.includes(event.label)) labels.push(event.label);
    }
    const curves = new Map(scores.classes.map((each) => [each.label, each.values]));
    const place = (seconds) => `${(100 * Math.min(Math.max(seconds, 0), length)) / length}%`;
    let now = 0;
    let scale = 1; // width of the track by that of its frame

    // --- Parts -------------------------------------------------------------------------------
    const video = recording.video ? make("video", {
      src: recording.video, controls: true, preload: "metadata", playsInline: true, muted: true,
      aria: { label: `The video ${recording.name}` },
    }) : null;
    const note = make("p", { className: "ev-note", role: "status" });
    video?.addEventListener("error", () => {
      video.hidden = playButton.disabled = true;
      note.textContent = "The browser cannot play this video, or does not find it; the timeline does without.";
    });

    function bar(event) {
      const score = event.kind === "found" ? `, score ${percent(event.score)}` : "";
      return make("div", {
        className: `ev-bar ev-${event.kind} ev-${event.verdict}`,
        title: `${event.label}, ${clock(event.start)} to ${clock(event.end)}${score} (${VERDICTS[event.verdict]})`,
        style: {
          left: place(event.start),
          width: `${(100 * (Math.min(event.end, length) - event.start)) / length}%`,
        },
      });
    }

    function curve(label) {
      const values = curves.get(label);
      const picture = makeSvg("svg", {
        class: "ev-curve", viewBox: `0 0 ${length} 1`, preserveAspectRatio: "none",
      });
      if (values) {
        picture.append(
          makeSvg("path", { class: "ev-area", d: curvePath(scores, values, true) }),
          makeSvg("path", { class: "ev-line", d: curvePath(scores, values, false) }),
        );
      }
      (recording.thresholds?.[label] ?? []).forEach((level, at) => {
        picture.append(makeSvg("line", {
          class: at ? "ev-leave" : "ev-enter", x1: 0, x2: length, y1: 1 - level, y2: 1 - level,
        }));
      });
      return picture;
    }

    const lane = (events) => make("div", { className: "ev-lane" }, ...events.map(bar));
    const rows = labels.map((label, at) => {
      const of = (events) => events.filter((event) => event.label === label);
      const [ofFound, ofAnnotated] = [of(found), of(annotated)];
      const isBackground = recording.thresholds && !(label in recording.thresholds);
      const lanes = isBackground && !ofFound.length && !ofAnnotated.length ? [] : [lane(ofFound)];
      if (hasTruth && lanes.length) lanes.push(lane(ofAnnotated));
      return make("div", { className: `ev-row ev-colour-${at % COLOURS}` },
        make("div", { className: "ev-name", title: label }, make("span", {}, label)),
        make("div", { className: "ev-tracks" },
          ...(curves.has(label) ? [curve(label)] : []), ...lanes));
    });
    const ticks = make("div", { className: "ev-ticks" });
    const cursor = make("div", { className: "ev-cursor" });
    const over = make("div", { className: "ev-over" }, cursor);
    const inner = make("div", { className: "ev-inner" },
      make("div", { className: "ev-row ev-times" }, make("div", { className: "ev-name" }), ticks),
      ...rows, over);
    const track = make("div", {
      className: "ev-timeline", tabIndex: 0, role: "slider",
      aria: {
        label: `Time in ${recording.name}`, valuemin: 0, valuemax: length.toFixed(2),
        describedby: `${prefix}-keys`,
      },
    }, inner);

    const clockText = make("span", { className: "ev-clock" });
    const playButton = make("button", { type: "button", disabled: !video }, "Play");
    const button = (text, label, action) => {
      const node = make("button", { type: "button", title: label, aria: { label } }, text);
      node.addEventListener("click", action);
      return node;
    };
    playButton.addEventListener("click", togglePlay);
    const controls = make("div", { className: "ev-controls" }, playButton,
      button("◂ Event", "Previous event", () => step(-1)),
      button("Event ▸", "Next event", () => step(1)),
      button("−", "Zoom out", () => zoom(1 / 2)), button("+", "Zoom in", () => zoom(2)), clockText);
    const key = (text) => make("kbd", {}, text);
    const keys = make("p", { className: "ev-note ev-keys", id: `${prefix}-keys` },
      "Click to go to a time. Keys: ", key("Space"), " play or pause, ", key("←"), " ", key("→"),
      " 1 second, with ", key("Shift"), " 0.1 s, ", key("N"), " ", key("P"), " next and previous event, ",
      key("+"), " ", key("−"), " zoom, ", key("Home"), " ", key("End"), ".");

    function sample(kind, verdict) {
      const mark = make("i", { className: `ev-bar ev-${kind} ev-${verdict}`, aria: { hidden: true } });
      return make("li", {}, mark, VERDICTS[verdict]);
    }
    const line = (name, text) => make("li", {}, make("i", { className: name, aria: { hidden: true } }), text);
    const legend = make("ul", { className: "ev-legend ev-colour-0" },
      ...(hasTruth ? [
        sample("found", "right"), sample("found", "wrong"),
        sample("annotated", "found"), sample("annotated", "missed"),
      ] : [sample("found", "none")]),
      ...(curves.size && recording.thresholds ? [
        line("ev-key-enter", "score to enter"), line("ev-key-leave", "score to leave"),
      ] : []));

    function tableRow(event) {
      const go = make("button", {
        type: "button", aria: { label: `Go to ${clock(event.start, 2)}, ${event.label}` },
      }, clock(event.start, 2));
      go.addEventListener("click", () => seek(event.start));
      const cells = [
        make("td", {}, go), make("td", {}, clock(event.end, 2)), make("td", {}, event.label),
        make("td", {}, event.kind === "found" ? percent(event.score) : ""),
      ];
      if (hasTruth) {
        cells.push(make("td", { className: `ev-${event.verdict}` }, VERDICTS[event.verdict]));
      }
      return make("tr", {}, ...cells);
    }
    const all = [...found, ...annotated].sort((a, b) => a.start - b.start || a.end - b.end);
    const heads = ["start", "end", "label", "score", ...(hasTruth ? ["at temporal IoU 0.5"] : [])];
    const caption = `Events: ${found.length} found${hasTruth ? `, ${annotated.length} annotated` : ""}`;
    const table = make("div", { className: "ev-table", tabIndex: 0, role: "region", aria: { label: "Events" } },
      make("table", {}, make("caption", {}, caption),
        make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)))),
        make("tbody", {}, ...all.map(tableRow))));

    // --- Time --------------------------------------------------------------------------------
    const isPlaying = () => video && !video.hidden && !video.paused && !video.ended;

    function show(follows) {
      cursor.style.left = place(now);
      clockText.textContent = `${clock(now)} of ${clock(length)}`;
      const here = found.filter((event) => event.start <= now && now < event.end)
        .map((event) => event.label).join(", ");
      track.setAttribute("aria-valuenow", now.toFixed(2));
      track.setAttribute("aria-valuetext", `${clock(now, 2)}${here ? `: ${here}` : ""}`);
      if (follows && scale > 1) reveal();
    }

    // Scroll so that the cursor is in the frame.
    function reveal() {
      const [frame, at] = [over.getBoundingClientRect(), cursor.getBoundingClientRect().left];
      const outer = track.getBoundingClientRect();
      const first = outer.left + names();
      if (at < first || at > outer.right - 10) {
        track.scrollLeft = at - frame.left - (outer.width - names()) / 5;
      }
    }

    const names = () => over.offsetLeft; // width of the names beside the tracks

    function seek(seconds) {
      now = Math.min(Math.max(seconds, 0), length);
      if (video && !video.hidden) video.currentTime = now + (recording.offset ?? 0);
      show(true);
    }

    function togglePlay() {
      if (!video || video.hidden) return;
      if (isPlaying()) video.pause();
      else video.play().catch(() => {}); // such as of a file that was removed
    }

    function followVideo() {
      now = Math.min(Math.max(video.currentTime - (recording.offset ?? 0), 0), length);
      show(true);
      if (isPlaying() && root.isConnected) requestAnimationFrame(followVideo);
    }
    for (const kind of ["play", "pause", "ended"]) {
      video?.addEventListener(kind, () => {
        playButton.textContent = isPlaying() ? "Pause" : "Play";
        if (kind === "play") followVideo();
      });
    }
    video?.addEventListener("seeked", followVideo);

    const onsets = [...new Set(all.map((event) => event.start))];
    function step(direction) {
      const target = direction > 0
        ? onsets.find((start) => start > now + 0.02)
        : onsets.findLast((start) => start < now - 0.02);
      if (target !== undefined) seek(target);
    }

    // --- Zoom --------------------------------------------------------------------------------
    function zoom(factor) {
      const visible = Math.max(track.clientWidth - names(), 1);
      const most = Math.max(1, Math.min(MAX_WIDTH / visible, (MAX_SCALE * length) / visible));
      scale = Math.min(Math.max(scale * factor, 1), most);
      inner.style.setProperty("--scale", scale);
      drawTicks();
      if (scale > 1) track.scrollLeft = (now / length) * over.offsetWidth - visible / 2;
      show(false);
    }

    function drawTicks() {
      const pixels = over.offsetWidth / length;
      if (!pixels) return; // not shown yet
      const every = STEPS.find((seconds) => seconds * pixels >= TICK) ?? 14400;
      const marks = [];
      for (let at = 0; at * every < length; at++) {
        marks.push(make("span", { style: { left: place(at * every) } },
          clock(at * every, every < 1 ? 1 : 0)));
      }
      ticks.replaceChildren(...marks);
    }

    // --- Pointer and keys --------------------------------------------------------------------
    function seekTo(event) {
      const frame = over.getBoundingClientRect();
      if (event.clientX < track.getBoundingClientRect().left + names()) return; // a name
      seek(((event.clientX - frame.left) / frame.width) * length);
    }
    track.addEventListener("click", seekTo);
    track.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" && event.buttons === 1) seekTo(event);
    });

    const ACTIONS = {
      " ": togglePlay,
      ArrowLeft: (event) => seek(now - (event.shiftKey ? 0.1 : 1)),
      ArrowRight: (event) => seek(now + (event.shiftKey ? 0.1 : 1)),
      Home: () => seek(0), End: () => seek(length),
      n: () => step(1), p: () => step(-1),
      "+": () => zoom(2), "=": () => zoom(2), "-": () => zoom(1 / 2),
    };

    // A key for the timeline; what an element under the focus does with it goes first.
    function press(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const own = event.target.closest?.("video, button, input, select, summary, a, .ev-table");
      const action = ACTIONS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!action || (own && !/^[np+=-]$/i.test(event.key)) || event.target.closest?.("input, select")) return;
      event.preventDefault();
      action(event);
    }
    root.onkeydown = press;

    root.classList.add("ev-view");
    root.replaceChildren(...(video ? [video] : []), note, controls, track, keys, legend, table);
    const resized = new ResizeObserver(drawTicks);
    resized.observe(track);
    show(false);
    return {
      press,
      close() {
        resized.disconnect();
        video?.pause();
        root.replaceChildren();
        root.onkeydown = null;
      },
    };
  };
})();
