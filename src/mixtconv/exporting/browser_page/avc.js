// What the header of an H.264 track says (ITU-T H.264, ISO/IEC 14496-15): how a decoder is set up, and
// the colours, of which a browser does not tell whether it knows or guesses them.

const MOST_OFFSETS = 255;  // of frames in a cycle

const HIGH_PROFILES = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);

/** The settings of a decoder for the content of a box avcC. */
export function avcConfiguration(box) {
  const bytes = new Uint8Array(box.buffer, box.byteOffset, box.byteLength);
  const name = [...bytes.slice(1, 4)].map(byte => byte.toString(16).padStart(2, "0")).join("");
  return {codec: `avc1.${name}`, description: bytes.slice()};
}

/** {matrix, isFull} of the first parameter set in a box avcC; null if it does not say. */
export function avcColours(box) {
  const count = box.getUint8(5) & 31, length = count ? box.getUint16(6) : 0;
  if (length < 4 || 8 + length > box.byteLength) return null;
  return parameterSetColours(new Bits(new Uint8Array(box.buffer, box.byteOffset + 9, length - 1)));
}

function parameterSetColours(bits) {
  const profile = bits.take(8);
  bits.take(16);
  bits.unsigned();  // its number
  if (HIGH_PROFILES.has(profile)) {
    const chroma = bits.unsigned();
    if (chroma === 3) bits.take(1);
    bits.unsigned(); bits.unsigned();  // depths
    bits.take(1);
    if (bits.take(1)) {
      for (let list = 0; list < (chroma === 3 ? 12 : 8); list++) {
        if (bits.take(1)) skipScalingList(bits, list < 6 ? 16 : 64);
      }
    }
  }
  bits.unsigned();  // bits of a frame number
  const order = bits.unsigned();
  if (order === 0) bits.unsigned();
  if (order === 1) {
    bits.take(1); bits.unsigned(); bits.unsigned();
    for (let left = Math.min(bits.unsigned(), MOST_OFFSETS); left > 0; left--) bits.unsigned();
  }
  bits.unsigned(); bits.take(1);  // references, gaps
  bits.unsigned(); bits.unsigned();  // width, height
  if (!bits.take(1)) bits.take(1);  // fields
  bits.take(1);
  if (bits.take(1)) for (let side = 0; side < 4; side++) bits.unsigned();  // cropping
  if (!bits.take(1)) return null;
  if (bits.take(1) && bits.take(8) === 255) bits.take(32);  // aspect of a pixel
  if (bits.take(1)) bits.take(1);  // overscan
  if (!bits.take(1)) return null;  // no type of signal
  bits.take(3);
  const isFull = bits.take(1) === 1;
  if (!bits.take(1)) return {matrix: null, isFull};
  bits.take(16);  // primaries, transfer
  return {matrix: bits.take(8), isFull};
}

function skipScalingList(bits, size) {
  for (let place = 0, last = 8, next = 8; place < size; place++) {
    if (next !== 0) next = (last + bits.signed() + 256) % 256;
    if (next !== 0) last = next;
  }
}

/** Bits of a parameter set, without the bytes that keep it from looking like a start code. */
class Bits {
  constructor(bytes) {
    this.bytes = bytes.filter((byte, at) => !(byte === 3 && at > 1 && !bytes[at - 1] && !bytes[at - 2]));
    this.at = 0;
  }

  take(count) {
    let value = 0;
    for (; count > 0; count--, this.at++) {
      value = 2 * value + (((this.bytes[this.at >> 3] ?? 0) >> (7 - this.at % 8)) & 1);
    }
    return value;
  }

  unsigned() {
    let zeros = 0;
    while (zeros < 32 && !this.take(1)) zeros++;
    return 2 ** zeros - 1 + this.take(zeros);
  }

  signed() {
    const code = this.unsigned();
    return code % 2 ? (code + 1) / 2 : -code / 2;
  }
}
