// The page of events: one recording at a time, by choice.
{
  const recordings = JSON.parse(document.getElementById("recordings").textContent);
  const choice = document.getElementById("recording");
  const failure = document.getElementById("unreadable");
  let shown = null;

  const choose = () => {
    const recording = recordings[Number(choice.value)];
    shown?.close();
    shown = null;
    failure.hidden = !recording.error;
    failure.textContent = recording.error ? `It cannot be read: ${recording.error}` : "";
    if (!recording.error || recording.annotated?.length) {
      shown = showEvents(document.getElementById("view"), recording);
    }
  };

  recordings.forEach(({ name, events, error }, at) => {
    const text = error ? "cannot be read" : `${events.length} event${events.length === 1 ? "" : "s"}`;
    choice.append(new Option(`${name} (${text})`, String(at)));
  });
  choice.addEventListener("change", choose);
  // Keys reach the timeline also while nothing has the focus.
  document.addEventListener("keydown", (event) => {
    if (event.target === document.body) shown?.press(event);
  });
  choose();
}
