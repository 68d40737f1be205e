// When the frames of a WebM or Matroska file are shown (RFC 8794, RFC 9559): the times of the blocks of
// the first video track.

const SEGMENT = 0x18538067, CLUSTER = 0x1f43b675, TRACKS = 0x1654ae6b, INFO = 0x1549a966;
const TRACK = 0xae, GROUP = 0xa0, TRACK_NUMBER = 0xd7, TRACK_TYPE = 0x83, SCALE = 0x2ad7b1;
const CLUSTER_TIME = 0xe7, SIMPLE_BLOCK = 0xa3, BLOCK = 0xa1;
const ENTERED = new Set([SEGMENT, CLUSTER, TRACKS, INFO, TRACK, GROUP]);
const IS_VIDEO = 1, INVISIBLE = 0x08;

/**
 * Seconds of every frame, ascending.
 * @param {FileBytes} bytes
 * @returns {Promise<number[]>}
 */
export async function webmTimes(bytes) {
  const times = [];
  let scale = 1e6, cluster = 0, number = null, video = null;
  for (let position = 0; position < bytes.size;) {
    const head = await bytes.at(position, Math.min(16, bytes.size - position));
    const name = variableNumber(head, 0, true), length = variableNumber(head, name.size, false);
    if (Number.isNaN(name.value) || Number.isNaN(length.value)) break;  // cut off
    const start = position + name.size + length.size;
    if (ENTERED.has(name.value)) {
      position = start;
      continue;
    }
    const content = await bytes.at(start, Math.min(length.value, 8, bytes.size - start));
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
    position = start + length.value;
  }
  if (video === null) throw new Error("it has no video in it");
  return times.sort((a, b) => a - b);
}

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
