// The tab of events: sends a video, and shows its events and scores over time.
"use strict";

{
  let shown = null;
  let address = null;

  // Fields that are left empty are as the model file says.
  function parameters(form) {
    const given = [...new FormData(form)].filter(([, value]) => typeof value === "string" && value);
    return { ...Object.fromEntries(given), scores: true };
  }

  function show(file, { events, scores, thresholds, video: facts }) {
    shown?.close();
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(file);
    shown = showEvents(byId("events-view"), {
      name: file.name, video: address, seconds: facts.seconds, offset: facts.start, events, annotated: null, scores, thresholds,
    });
  }

  async function findEvents(form) {
    const file = byId("events-file").files[0];
    if (!file) {
      showStatus("events-status", "choose a video first", true);
      return;
    }
    byId("find-events").disabled = true;
    showStatus("events-status", "finding events ...");
    try {
      const answer = await post("v1/events", parameters(form), file);
      show(file, answer);
      const count = answer.events.length;
      showStatus("events-status", `${file.name}: ${count} event${count === 1 ? "" : "s"}`);
    } catch (error) {
      showStatus("events-status", error.message, true);
    } finally {
      byId("find-events").disabled = false;
    }
  }

  // A model with damaged settings has no form.
  byId("events-form")?.addEventListener("submit", (event) => {
    event.preventDefault();
    findEvents(event.target);
  });
}
