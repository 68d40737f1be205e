// Which frames of a video are a clip, as mixtconv chooses them for a test (`--protocol 1x1`).

const LONGEST_JUMP = 1;  // seconds; a frame that comes later starts the moments anew

/**
 * Numbers of the frames of the one clip.
 * @param {{num_frames, sampling, frame_stride}} spec
 * @param {number} count frames of the video
 */
export function clipFrames(spec, count) {
  const {num_frames: length} = spec;
  if (spec.sampling !== "dense") {
    return Array.from({length}, (_, part) =>
      Math.min(Math.trunc((part + 0.5) * count / length), count - 1));
  }
  const start = Math.trunc(Math.max(0, count - length * spec.frame_stride) / 2);
  return Array.from({length}, (_, place) => (start + place * spec.frame_stride) % count);
}

/**
 * Numbers of the frames of a stream at a rate: the first at or after each moment.
 * @param {number[]} times ascending, in seconds
 * @param {number|null} rate frames a second; null for all
 */
export function framesAtRate(times, rate) {
  if (rate === null) return times.map((_, number) => number);
  const chosen = [];
  let due = times[0];
  times.forEach((time, number) => {
    if (time - due > 1 / rate + LONGEST_JUMP) due = time;
    if (time < due - 1e-6) return;
    chosen.push(number);
    due += (1 + Math.trunc((time - due + 1e-6) * rate)) / rate;
  });
  return chosen;
}
