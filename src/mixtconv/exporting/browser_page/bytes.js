// Reads numbers of a file that is not held in memory: a megabyte of it at a time.

const WINDOW = 1 << 20;

export class FileBytes {
  /** @param {Blob} file */
  constructor(file) {
    this.file = file;
    this.size = file.size;
    this.start = 0;
    this.view = new DataView(new ArrayBuffer(0));
  }

  /** Bytes as a DataView; null if the file ends before. */
  async at(position, length) {
    if (position + length > this.size) return null;
    if (position < this.start || position + length > this.start + this.view.byteLength) {
      const end = Math.min(position + Math.max(length, WINDOW), this.size);
      this.view = new DataView(await this.file.slice(position, end).arrayBuffer());
      this.start = position;
    }
    return new DataView(this.view.buffer, position - this.start, length);
  }
}

/** Four characters, such as the name of a box. */
export function fourCharacters(view, offset) {
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + offset, 4));
}
