// What a file itself says of its frames: a browser tells neither how many there are nor their times.

import {FileBytes, fourCharacters} from "./bytes.js";
import {mp4Track} from "./mp4.js";
import {webmTimes} from "./webm.js";

const EBML = 0x1a45dfa3;
const MP4_FIRST = new Set(["ftyp", "moov", "mdat", "wide", "free", "skip", "styp", "pnot"]);

/**
 * The video track of a file.
 * @param {Blob} file
 * @returns {Promise<{times: number[], colours: object|null, turn: object|null, stream: object|null,
 *   damage: string|null}>} see `mp4Track`; and what is to be said of a file that is read in part
 * @throws {Error} it is of another format, damaged, or has no frame
 */
export async function videoTrack(file) {
  const bytes = new FileBytes(file), head = await bytes.at(0, 8);
  let track;
  if (head && MP4_FIRST.has(fourCharacters(head, 4))) {
    track = {...await readIndex(() => mp4Track(bytes)), damage: null};
  } else if (head?.getUint32(0) === EBML) {
    track = {...await readIndex(() => webmTimes(bytes)), colours: null, turn: null, stream: null};
  } else throw new Error("it is no MP4, QuickTime, WebM or Matroska file");
  if (track.times.length === 0) throw new Error("there is no frame in it");
  return track;
}

/** What `read` gives; where it meets the end of a box too early, or no box, the file is damaged. */
async function readIndex(read) {
  try {
    return await read();
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) {
      throw new Error("its index is damaged, or cut off");
    }
    throw error;
  }
}
