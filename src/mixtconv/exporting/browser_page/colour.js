// A decoded frame as RGB, as mixtconv reads it with FFmpeg: the integer arithmetic of libswscale on
// the decoder's own planes. A canvas would interpolate and round otherwise, by the graphics driver.
//
// - A frame of its final size, of an even height: chroma is repeated, and products are cut to whole
//   numbers, as in the vector code of x86 processors (libswscale elsewhere rounds by a step otherwise).
// - Any other, as with pixels that are not square, is widened or made taller on the way: bilinear, in
//   15 bits, to an odd width with chroma in full, to an even one with chroma of every second pixel.

const COEFFICIENTS = {  // 2^16 times: V to red, U to blue, U to green, V to green, of ITU-R BT.
  bt601: [104597, 132201, -25675, -53279],
  bt709: [117489, 138438, -13975, -34925],
  bt2020: [110013, 140363, -12277, -42626],
};

/** Multipliers of 2^16, and what is black: {luma, black, red, blue, greenU, greenV}. */
function multipliers(matrix, isFull) {
  const [red, blue, greenU, greenV] = COEFFICIENTS[matrix].map(
    each => isFull ? Math.trunc(each * 224 / 255) : each);
  if (isFull) return {luma: 65536, black: 0, red, blue, greenU, greenV};
  return {luma: Math.trunc(65536 * 255 / 219), black: 16, red, blue, greenU, greenV};
}

const LEFT = 0.25;  // of its values: chroma lies on the left one of two pixels, not between them

const inBits13 = value => (value * 8192 + 32768) >> 16;

/**
 * RGB of a frame.
 * @param {{y, u, v}} planes each {data, offset, stride, step, width, height}
 * @param {{matrix: "bt601"|"bt709"|"bt2020", isFull: boolean}} colours
 * @param {{width: number, height: number}} size of the frame with square pixels
 * @returns {{data: Uint8ClampedArray, width: number, height: number}} three bytes a pixel
 */
export function toRgb(planes, colours, size) {
  const {width, height} = planes.y;
  const data = new Uint8ClampedArray(3 * size.width * size.height);
  const terms = multipliers(colours.matrix, colours.isFull);
  const isSame = size.width === width && size.height === height;
  if (isSame && height % 2 === 0) convertUnscaled(planes, terms, data);
  else convertScaled(planes, terms, size, data);
  return {data, ...size};
}

/** A table of (8 x - offset) times a multiplier of 16 bits, for the values x of a byte. */
function products(multiplier, offset) {
  const factor = inBits13(multiplier);
  return Int32Array.from({length: 256}, (_, x) => ((8 * x - offset) * factor) >> 16);
}

function convertUnscaled({y, u, v}, terms, data) {
  const luma = products(terms.luma, 8 * terms.black);
  const red = products(terms.red, 1024), blue = products(terms.blue, 1024);
  const greenU = products(terms.greenU, 1024), greenV = products(terms.greenV, 1024);
  let at = 0;
  for (let row = 0; row < y.height; row++) {
    const yRow = y.offset + row * y.stride;
    const uRow = u.offset + (row >> 1) * u.stride, vRow = v.offset + (row >> 1) * v.stride;
    for (let column = 0; column < y.width; column++) {
      const light = luma[y.data[yRow + column]];
      const uValue = u.data[uRow + (column >> 1) * u.step];
      const vValue = v.data[vRow + (column >> 1) * v.step];
      data[at++] = light + red[vValue];
      data[at++] = light + (greenU[uValue] + greenV[vValue]);
      data[at++] = light + blue[uValue];
    }
  }
}

function convertScaled({y, u, v}, terms, size, data) {
  const isOdd = size.width % 2 === 1;
  const chromaWidth = isOdd ? size.width : size.width / 2;
  const [lines, us, vs] = [
    widened(y, size.width, 0), widened(u, chromaWidth, LEFT), widened(v, chromaWidth, LEFT)];
  const lumaRows = bilinear(y.height, size.height), chromaRows = bilinear(u.height, size.height);
  // Where both are between two rows, libswscale cuts, else it rounds.
  const isCut = y.height !== size.height;
  const convert = isOdd ? fullChroma(terms) : halfChroma(terms);
  const bits = isOdd ? 10 : 19, half = isCut ? 0 : 1 << (bits - 1);
  const row = {y: new Int32Array(size.width), u: new Int32Array(chromaWidth),
    v: new Int32Array(chromaWidth)};
  for (let number = 0; number < size.height; number++) {
    between(lines, lumaRows[number], half, bits, row.y);
    between(us, chromaRows[number], half, bits, row.u);
    between(vs, chromaRows[number], half, bits, row.v);
    convert(row, data, 3 * number * size.width, size.width);
  }
}

/**
 * The two neighbours of each new value, and their weights of 2^14, as libswscale places them.
 * @param {number} shift of the new values to the right, in old ones
 * @returns {Array<[number, number, number, number]>} place and weight of one, then of the other
 */
function bilinear(length, newLength, shift = 0) {
  const step = Math.floor((length * 65536 + (newLength >> 1)) / newLength);
  return Array.from({length: newLength}, (_, index) => {
    const place = ((2 * index + 1) * step - 65536) / 131072 + shift;  // of its middle
    const first = Math.floor(place);
    const second = Math.round((place - first) * 16384);
    const inside = at => Math.min(Math.max(at, 0), length - 1);
    return [inside(first), 16384 - second, inside(first + 1), second];
  });
}

/** Rows of a plane with another width, in 15 bits. */
function widened(plane, newWidth, shift) {
  const taps = bilinear(plane.width, newWidth, shift);
  return Array.from({length: plane.height}, (_, row) => {
    const start = plane.offset + row * plane.stride, line = new Int32Array(newWidth);
    for (let column = 0; column < newWidth; column++) {
      const [a, weightA, b, weightB] = taps[column];
      const sum = plane.data[start + a * plane.step] * weightA
        + plane.data[start + b * plane.step] * weightB;
      line[column] = Math.min(sum >> 7, 32767);
    }
    return line;
  });
}

function between(lines, [a, weightA, b, weightB], half, bits, result) {
  const [above, below] = [lines[a], lines[b]];
  const [first, second] = [weightA >> 2, 4096 - (weightA >> 2)];
  for (let index = 0; index < result.length; index++) {
    result[index] = (above[index] * first + below[index] * second + half) >> bits;
  }
}

/** From rows of 17 bits, chroma as wide as luma. */
function fullChroma(terms) {
  const [luma, red, blue, greenU, greenV] = [
    terms.luma, terms.red, terms.blue, terms.greenU, terms.greenV].map(inBits13);
  const largest = 2 ** 30 - 1;
  const clipped = value => Math.min(Math.max(value, 0), largest) >> 22;
  return (row, data, start, width) => {
    for (let column = 0, at = start; column < width; column++) {
      const light = (row.y[column] - 512 * terms.black) * luma + 2 ** 21;
      const u = row.u[column] - 65536, v = row.v[column] - 65536;
      data[at++] = clipped(light + v * red);
      data[at++] = clipped(light + v * greenV + u * greenU);
      data[at++] = clipped(light + u * blue);
    }
  };
}

/** From rows of 8 bits, a value of chroma for two of luma; through a table of luma. */
function halfChroma(terms) {
  const reach = 512;
  const zero = terms.black ? 400 * 65536 - 326 * terms.luma : 0;
  const light = Uint8ClampedArray.from({length: 256 + 2 * reach}, (_, index) =>
    ((index - reach) * terms.luma - zero + 32768) >> 16);
  const shifts = multiplier => {
    const step = Math.floor((multiplier * 65536 + 32768) / terms.luma);
    return Int32Array.from({length: 256}, (_, x) => Math.floor(x * step / 65536) - (step >> 9));
  };
  const [red, blue, greenU, greenV] = [
    terms.red, terms.blue, terms.greenU, terms.greenV].map(shifts);
  const byte = value => Math.min(Math.max(value, 0), 255);
  return (row, data, start, width) => {
    for (let column = 0, at = start; column < width; column++) {
      const y = reach + byte(row.y[column]);
      const u = byte(row.u[column >> 1]), v = byte(row.v[column >> 1]);
      data[at++] = light[y + red[v]];
      data[at++] = light[y + greenU[u] + greenV[v]];
      data[at++] = light[y + blue[u]];
    }
  };
}
