// The video track of an MP4 or QuickTime file (ISO/IEC 14496-12): when its frames are shown, by the sample
// tables, those of its fragments, and the edit list; and of H.264 where they lie in the file.

import {avcColours, avcConfiguration} from "./avc.js";
import {fourCharacters} from "./bytes.js";

const MOST_IN_RUN = 1e6;  // frames of a fragment: hours
const SAMPLE_ENTRY = 78;  // bytes of one of video, before the boxes in it

const NEEDED = new Set(["moov", "moof", "mdat"]);  // whole; after the last one may be anything
const ANEW = "write it anew, as with ffmpeg -i FILE NEW";
const PARENTS = new Set(["trak", "mdia", "minf", "stbl", "edts", "mvex", "traf"]);

/**
 * The track that is shown.
 * @param {FileBytes} bytes
 * @returns {Promise<{times: number[], colours: object|null, turn: object, stream: object|null}>} seconds of
 *   every frame on the timeline of the film, ascending; the colours where the file says them; how a picture
 *   is turned to be shown, {degrees, isMirrored}; and, of H.264, the settings of a decoder, the samples in
 *   the order of decoding, and whether their times say which frame is which
 */
export async function mp4Track(bytes) {
  let movie = null;
  const fragments = [];
  for (let position = 0; position < bytes.size;) {
    const head = await bytes.at(position, Math.min(16, bytes.size - position));
    if (head.byteLength < 8) break;
    const name = fourCharacters(head, 4);
    let length = head.getUint32(0), header = 8;
    if (length === 1 && head.byteLength === 16) {
      [length, header] = [Number(head.getBigUint64(8)), 16];
    }
    if (length === 0) length = bytes.size - position;
    if (length < header) throw new Error(`its box ${name} has ${length} bytes: it is damaged`);
    if (NEEDED.has(name) && position + length > bytes.size) {
      const missing = position + length - bytes.size;
      throw new Error(`it breaks off: ${missing} bytes of its box ${name} are missing; copy it again, or `
        + "repair it, as with ffmpeg -i FILE -c copy NEW");
    }
    if (name === "moov" || name === "moof") {
      const view = await bytes.at(position + header, length - header);
      if (name === "moov") movie = view; else fragments.push(view);
    }
    position += length;
  }
  if (movie === null) throw new Error("it has no index (moov): it was not written to its end");
  return trackOfMovie(movie, fragments);
}

/** The boxes in a box from some byte on, name and content, and those in its parents. */
function* boxes(view, start = 0) {
  for (let at = start; at + 8 <= view.byteLength;) {
    const length = view.getUint32(at) || view.byteLength - at;
    if (length < 8 || at + length > view.byteLength) return;
    const name = fourCharacters(view, at + 4);
    const content = new DataView(view.buffer, view.byteOffset + at + 8, length - 8);
    yield {name, content};
    if (PARENTS.has(name) && name !== "trak" && name !== "traf") yield* boxes(content);
    at += length;
  }
}

const found = (view, name) => [...boxes(view)].find(box => box.name === name)?.content;

function trackOfMovie(movie, fragments) {
  const track = videoTrack(movie);
  const head = found(track, "mdhd");
  const scale = head.getUint32(head.getUint8(0) === 1 ? 20 : 12);
  const samples = tableSamples(track);
  const identity = trackNumber(found(track, "tkhd"));
  const defaults = [...boxes(movie)].filter(box => box.name === "trex")
    .map(box => box.content).find(box => box.getUint32(4) === identity);
  for (const fragment of fragments) {
    samples.push(...fragmentSamples(fragment, identity, defaults, samples.at(-1)));
  }
  const movieHead = found(movie, "mvhd");
  const movieScale = movieHead.getUint32(movieHead.getUint8(0) === 1 ? 20 : 12);
  const isFragmented = fragments.length > 0;
  const {start, length, delay} = theEdit(found(track, "elst"));
  // Of what the header of a fragmented file says of its length FFmpeg takes nothing, nor do browsers.
  const end = isFragmented || length === 0 ? Infinity : start + Math.round(length * scale / movieScale);
  if (isFragmented && samples.some(({shown}) => shown < start)) {
    throw new Error(`its edit list cuts off the start of its fragments; ${ANEW}`);
  }
  const isShown = ({shown}) => shown >= start && shown < end;
  const times = samples.filter(isShown).map(({shown}) => shown)
    .sort((a, b) => a - b).map(time => (time - start) / scale + delay / movieScale);
  const {colours, configuration} = sampleEntry(track), turn = turnOf(found(track, "tkhd"), movieHead);
  const isTimed = samples.every(({end}, place) => place === 0 || end > samples[place - 1].end);
  const stream = configuration === null || isFragmented ? null : {configuration, isTimed,
    samples: numberedSamples(locatedSamples(track, samples.length), samples, isShown)};
  return {times, colours, turn, stream};
}

/** What the description of the samples says. */
function sampleEntry(track) {
  const entry = boxes(found(track, "stsd"), 8).next().value;
  const inside = entry && entry.content.byteLength > SAMPLE_ENTRY
    ? [...boxes(entry.content, SAMPLE_ENTRY)] : [];
  const [avc, colr] = ["avcC", "colr"].map(
    name => inside.find(box => box.name === name)?.content ?? null);
  const kind = colr && fourCharacters(colr, 0);
  const stored = kind === "nclx" || kind === "nclc"
    ? {matrix: colr.getUint16(8), isFull: kind === "nclx" && colr.getUint8(10) >> 7 === 1} : null;
  if (avc === null) return {colours: null, configuration: null};
  const own = avcColours(avc), colours = {matrix: 2, isFull: false, ...stored};
  if (own) colours.isFull = own.isFull;
  if (own?.matrix != null) colours.matrix = own.matrix;
  return {colours, configuration: avcConfiguration(avc)};
}

/** Samples in the order of decoding, each with the number of its frame in `times`; null if it has none. */
function numberedSamples(located, samples, isShown) {
  const inOrder = samples.map((_, place) => place).filter(place => isShown(samples[place]))
    .sort((a, b) => samples[a].shown - samples[b].shown);
  const numbers = new Map(inOrder.map((place, number) => [place, number]));
  return located.map((sample, place) => ({...sample, number: numbers.get(place) ?? null}));
}

/**
 * How a picture is to be turned clockwise, then mirrored from left to right, by the display matrices of the
 * track and the film, x' = a x + c y, y' = b x + d y. Quarter turns alone are applied, as by mixtconv.
 */
function turnOf(trackHead, movieHead) {
  const [[a, b, c, d], [ma, mb, mc, md]] = [[trackHead, 40], [movieHead, 36]].map(([head, place]) => {
    const at = place + (head.getUint8(0) === 1 ? 12 : 0);
    return [0, 4, 12, 16].map(step => head.getInt32(at + step) / 65536);
  });
  const [xx, xy, yx, yy] = [a * ma + b * mc, a * mb + b * md, c * ma + d * mc, c * mb + d * md];
  const isMirrored = xx * yy - xy * yx < 0;
  if (!xx && !yy && xy && yx) return {degrees: xy > 0 ? 90 : 270, isMirrored};
  if (!xy && !yx) return {degrees: yy < 0 ? 180 : 0, isMirrored};
  return {degrees: 0, isMirrored: false};
}

/** {position, length, isKey} of each sample, in the order of decoding. */
function locatedSamples(track, count) {
  const sizes = found(track, "stsz"), usual = sizes.getUint32(4);
  const inChunks = found(track, "stsc"), keys = found(track, "stss");
  const short = found(track, "stco"), long = found(track, "co64");
  const keyNumbers = keys && new Set(
    Array.from({length: keys.getUint32(4)}, (_, entry) => keys.getUint32(8 + 4 * entry) - 1));
  const located = [];
  for (let chunk = 0, entry = 0; chunk < (short ?? long).getUint32(4); chunk++) {
    const next = 8 + 12 * (entry + 1);
    if (next < inChunks.byteLength && inChunks.getUint32(next) === chunk + 1) entry++;
    let position = short ? short.getUint32(8 + 4 * chunk) : Number(long.getBigUint64(8 + 8 * chunk));
    for (let left = inChunks.getUint32(12 + 12 * entry); left > 0; left--) {
      const number = located.length, length = usual || sizes.getUint32(12 + 4 * number);
      const isKey = keyNumbers === undefined || keyNumbers.has(number);
      if (number === count) return located;
      located.push({position, length, isKey});
      position += length;
    }
  }
  return located;
}

function videoTrack(movie) {
  for (const {name, content} of boxes(movie)) {
    if (name !== "trak") continue;
    if (fourCharacters(found(content, "hdlr"), 8) === "vide") return content;
  }
  throw new Error("it has no video in it");
}

const trackNumber = head => head.getUint32(head.getUint8(0) === 1 ? 20 : 12);

/** {shown, end} of each sample in ticks, in the order of decoding. */
function tableSamples(track) {
  const durations = runs(found(track, "stts")), offsets = runs(found(track, "ctts"));
  const samples = [];
  const most = (found(track, "stsz") ?? found(track, "stz2")).getUint32(8);
  let time = 0;
  for (const duration of durations) {
    if (samples.length === most) break;  // runs may be longer, as far as damage makes them
    const {value: offset = 0} = offsets.next();
    samples.push({shown: time + offset, end: time + duration});
    time += duration;
  }
  return samples;
}

/** The values of a table of runs (count, value), one after the other. */
function* runs(view) {
  const count = view ? view.getUint32(4) : 0;
  for (let entry = 0; entry < count; entry++) {
    const value = view.getInt32(12 + 8 * entry);
    for (let left = view.getUint32(8 + 8 * entry); left > 0; left--) yield value;
  }
}

function fragmentSamples(fragment, identity, defaults, previous) {
  const samples = [];
  let time = previous?.end ?? 0;
  for (const {name, content: part} of boxes(fragment)) {
    if (name !== "traf") continue;
    const head = found(part, "tfhd"), flags = head.getUint32(0);
    if (head.getUint32(4) !== identity) continue;
    const before = (flags & 1 ? 8 : 0) + (flags & 2 ? 4 : 0);
    const usual = flags & 8 ? head.getUint32(8 + before) : defaults?.getUint32(12) ?? 0;
    const start = found(part, "tfdt");
    if (start) time = start.getUint8(0) === 1 ? Number(start.getBigUint64(4)) : start.getUint32(4);
    for (const {name: kind, content: run} of boxes(part)) {
      if (kind === "trun") time = runSamples(run, time, usual, samples);
    }
  }
  return samples;
}

function runSamples(run, start, usual, samples) {
  const flags = run.getUint32(0), count = run.getUint32(4);
  if (count > MOST_IN_RUN) throw new Error(`a fragment has ${count} frames: it is damaged`);
  let at = 8 + (flags & 1 ? 4 : 0) + (flags & 4 ? 4 : 0), time = start;
  for (let number = 0; number < count; number++) {
    let duration = usual, offset = 0;
    if (flags & 0x100) { duration = run.getUint32(at); at += 4; }
    if (flags & 0x200) at += 4;
    if (flags & 0x400) at += 4;
    if (flags & 0x800) { offset = run.getInt32(at); at += 4; }
    samples.push({shown: time + offset, end: time + duration});
    time += duration;
  }
  return time;
}

/**
 * The part of the track that the film is: where it starts, in ticks of the track, and in ticks of the film
 * its length, 0 for all that follows, and how long nothing is shown before.
 */
function theEdit(list) {
  let found = null, delay = 0;
  const count = list ? list.getUint32(4) : 0, isLong = list?.getUint8(0) === 1;
  for (let entry = 0, at = 8; entry < count; entry++, at += isLong ? 20 : 12) {
    const length = isLong ? Number(list.getBigUint64(at)) : list.getUint32(at);
    const start = isLong ? Number(list.getBigInt64(at + 8)) : list.getInt32(at + 4);
    if (found !== null) {
      throw new Error(`its edit list has several parts; ${ANEW}`);
    }
    if (start >= 0) found = {start, length, delay}; else delay += length;
  }
  return found ?? {start: 0, length: 0, delay};
}
