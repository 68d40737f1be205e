// The centre crop that mixtconv tests on: short side to 256/224 of the crop, then the crop, resized as
// Pillow does it (bilinear, the mean over the pixels that a new one covers), in its integer arithmetic.

const BITS = 22;  // of a weight, beside 8 of a pixel and 2 of headroom

/**
 * @param {{data, width, height}} picture three bytes a pixel
 * @param {number} size S
 * @param {Uint8ClampedArray} planes 3 x S x S values are written here, red, green and blue in turn
 * @param {number} start where
 */
export function centerCrop(picture, size, planes, start) {
  const {width, height} = picture;
  const short = Math.min(width, height), side = roundHalfEven(size * 256 / 224);
  const [newWidth, newHeight] = [width, height].map(
    length => length === short ? side : Math.floor(side * length / short));
  const left = roundHalfEven((newWidth - size) / 2), top = roundHalfEven((newHeight - size) / 2);
  const across = weights(width, newWidth, left, size), down = weights(height, newHeight, top, size);
  const firstRow = down[0].first, lastRow = down[size - 1].first + down[size - 1].values.length;
  const lines = new Uint8ClampedArray((lastRow - firstRow) * size * 3);
  for (let row = firstRow, at = 0; row < lastRow; row++) {
    for (const {first, values} of across) {
      let red = 1 << (BITS - 1), green = red, blue = red;
      for (let tap = 0, from = 3 * (row * width + first); tap < values.length; tap++) {
        red += picture.data[from++] * values[tap];
        green += picture.data[from++] * values[tap];
        blue += picture.data[from++] * values[tap];
      }
      lines[at++] = red >> BITS;
      lines[at++] = green >> BITS;
      lines[at++] = blue >> BITS;
    }
  }
  for (let row = 0; row < size; row++) {
    const {first, values} = down[row];
    for (let column = 0; column < size; column++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 1 << (BITS - 1);
        for (let tap = 0; tap < values.length; tap++) {
          sum += lines[((first - firstRow + tap) * size + column) * 3 + channel] * values[tap];
        }
        planes[start + (channel * size + row) * size + column] = sum >> BITS;
      }
    }
  }
}

/** For each of `count` new values from number `start` the first old one and the weights of 2^22. */
function weights(length, newLength, start, count) {
  if (length === newLength) {  // Pillow leaves such an axis out
    return Array.from({length: count}, (_, index) => ({first: start + index, values: [1 << BITS]}));
  }
  const scale = length / newLength, filterScale = Math.max(scale, 1);
  return Array.from({length: count}, (_, index) => {
    const center = (start + index + 0.5) * scale;
    const first = Math.max(Math.trunc(center - filterScale + 0.5), 0);
    const last = Math.min(Math.trunc(center + filterScale + 0.5), length);
    const parts = Array.from({length: last - first}, (_, tap) =>
      Math.max(1 - Math.abs((tap + first - center + 0.5) * (1 / filterScale)), 0));
    const whole = parts.reduce((sum, part) => sum + part, 0);
    return {first, values: parts.map(part => Math.trunc(0.5 + part / whole * (1 << BITS)))};
  });
}

/** As Python rounds: a half to the even number. */
export function roundHalfEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
