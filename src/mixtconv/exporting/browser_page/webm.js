// When the frames of a WebM or Matroska file are shown (RFC 8794, RFC 9559): the times of the blocks of
// the first video track.

const SEGMENT = 0x18538067, CLUSTER = 0x1f43b675, TRACKS = 0x1654ae6b, INFO = 0x1549a966;
const TRACK = 0xae, GROUP = 0xa0, TRACK_NUMBER = 0xd7, TRACK_TYPE = 0x83, SCALE = 0x2ad7b1;
const CLUSTER_TIME = 0xe7, SIMPLE_BLOCK = 0xa3, BLOCK = 0xa1;
const ENTERED = new Set([SEGMENT, CLUSTER, TRACKS, INFO, TRACK, GROUP]);
const IS_VIDEO = 1, INVISIBLE = 0x08;
const LONGEST_HEAD = 16;  // bytes of the name and the length of an element
const BROKEN_OFF = "the file breaks off, and frames are missing after its last one";

/**
 * Seconds of every frame, ascending, and what is to be said of a file that breaks off.
 * @param {FileBytes} bytes
 * @returns {Promise<{times: number[], damage: string|null}>}
 * @throws {Error} there is something else than elements in it
 */
export async function webmTimes(bytes) {
  const times = [], ends = [Infinity];  // of the elements around
  let scale = 1e6, cluster = 0, number = null, video = null, damage = null;
  for (let position = 0; position < bytes.size;) {
    while (position >= ends.at(-1)) ends.pop();
    if (ends.length === 1 && position > 0 && video !== null) break;  // after the segment is nothing of it
    const head = await bytes.at(position, Math.min(LONGEST_HEAD, bytes.size - position));
    const name = variableNumber(head, 0, true), length = variableNumber(head, name.size, false);
    const isRead = !Number.isNaN(name.value) && !Number.isNaN(length.value);
    if (!isRead && head.byteLength === LONGEST_HEAD) throw damagedAt(position);
    const start = position + name.size + length.size, isEntered = ENTERED.has(name.value);
    const isOpen = isEntered && length.value === 2 ** (7 * length.size) - 1;  // it has no size yet
    const end = isOpen ? ends.at(-1) : start + length.value;
    if (end > ends.at(-1)) throw damagedAt(position);
    if (!isRead || (!isOpen && end > bytes.size)) damage = BROKEN_OFF;
    if (isRead && isEntered) {
      ends.push(end);
      position = start;
      continue;
    }
    if (!isRead || end > bytes.size) break;
    const content = await bytes.at(start, Math.min(length.value, 8));
    switch (name.value) {
      case SCALE: scale = plainNumber(content); break;
      case TRACK_NUMBER: number = plainNumber(content); break;
      case TRACK_TYPE: if (plainNumber(content) === IS_VIDEO) video ??= number; break;
      case CLUSTER_TIME: cluster = plainNumber(content); break;
      case SIMPLE_BLOCK: case BLOCK: {
        const track = variableNumber(content, 0, false);
        if (track.value !== video || content.getUint8(track.size + 2) & INVISIBLE) break;
        times.push((cluster + content.getInt16(track.size)) * scale / 1e9);
      }
    }
    position = end;
  }
  if (video === null) throw new Error("it has no video in it");
  return {times: times.sort((a, b) => a - b), damage};
}

const damagedAt = position => new Error(
  `it is damaged at byte ${position}; repair it, as with ffmpeg -i FILE -c copy NEW`);

/** A number whose first byte says its size; an identity keeps the bits that say so. */
function variableNumber(view, at, isIdentity) {
  if (at >= view.byteLength) return {value: NaN, size: 0};
  const first = view.getUint8(at), size = Math.clz32(first) - 23;
  if (size > 8 || at + size > view.byteLength) return {value: NaN, size: 0};
  let value = isIdentity ? first : first & (0xff >> size);
  for (let index = 1; index < size; index++) value = value * 256 + view.getUint8(at + index);
  return {value, size};
}

function plainNumber(view) {
  let value = 0;
  for (let at = 0; at < view.byteLength; at++) value = value * 256 + view.getUint8(at);
  return value;
}
