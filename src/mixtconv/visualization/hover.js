"use strict";
// Shows what a picture says of the place under the pointer, and marks the places of one group.
const chart = document.querySelector("svg.chart");
const tip = document.getElementById("tip");
const choice = document.getElementById("group");
const places = JSON.parse(document.getElementById("places").textContent);
const REACH = 8; // how far from a place the pointer may be, in pixels of the picture

const marks = document.createElementNS("http://www.w3.org/2000/svg", "g");
marks.setAttribute("class", "marks");
chart.append(marks);

function nearest(event) {
  const { x, y } = new DOMPoint(event.clientX, event.clientY)
    .matrixTransform(chart.getScreenCTM().inverse());
  let found = null;
  let least = REACH;
  for (const place of places) {
    const dx = Math.max(Math.abs(x - place[0]) - place[2], 0);
    const dy = Math.max(Math.abs(y - place[1]) - place[3], 0);
    const distance = Math.hypot(dx, dy);
    if (distance < least) [found, least] = [place, distance];
  }
  return found;
}

function mark(group) {
  marks.replaceChildren(...places.filter((place) => place[5] === group).map((place) => {
    const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const values = {
      x: place[0] - place[2] - 1, y: place[1] - place[3] - 1,
      width: 2 * place[2] + 2, height: 2 * place[3] + 2, rx: 2,
    };
    for (const [name, value] of Object.entries(values)) box.setAttribute(name, value);
    return box;
  }));
}

function chosen() {
  return choice.value === "" ? null : Number(choice.value);
}

chart.addEventListener("pointermove", (event) => {
  const place = nearest(event);
  tip.hidden = place === null;
  mark(place === null ? chosen() : place[5]);
  if (place === null) return;
  tip.textContent = place[4];
  const right = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, right))}px`;
  const below = event.clientY + 18;
  const fits = below + tip.offsetHeight < document.documentElement.clientHeight;
  tip.style.top = `${fits ? below : event.clientY - tip.offsetHeight - 10}px`;
});
chart.addEventListener("pointerleave", () => {
  tip.hidden = true;
  mark(chosen());
});
choice.addEventListener("change", () => mark(chosen()));
