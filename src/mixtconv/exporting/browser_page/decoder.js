// Decodes the frames of an H.264 track one after the other, each once, where the browser has WebCodecs.

const MOST_WAITING = 8;  // a decoder has few pictures of its own

/** @param {{configuration, samples}|null} stream */
export async function canDecode(stream) {
  if (stream === null || !("VideoDecoder" in globalThis)) return false;
  return (await VideoDecoder.isConfigSupported(stream.configuration)).supported;
}

/**
 * The frames that are shown, {number, frame}, as the decoder gives them; each is to be closed before the
 * next one is asked for.
 * @param {Blob} file
 * @param {{configuration, samples}} stream
 */
export async function* decodedFrames(file, {configuration, samples}) {
  const ready = [];
  let failure = null, wake = () => {}, isOver = false;
  const decoder = new VideoDecoder({
    output: frame => { ready.push(frame); wake(); },
    error: error => { failure = error; wake(); },
  });
  decoder.ondequeue = () => wake();
  const changed = () => new Promise(done => { wake = done; setTimeout(done, 100); });
  try {
    decoder.configure(configuration);
    for (let next = 0; ready.length > 0 || !isOver;) {
      if (failure !== null) throw failure;
      while (next < samples.length && ready.length + decoder.decodeQueueSize < MOST_WAITING) {
        const {position, length, isKey} = samples[next];
        const data = await file.slice(position, position + length).arrayBuffer();
        if (failure !== null) throw failure;
        const type = isKey ? "key" : "delta";
        decoder.decode(new EncodedVideoChunk({type, timestamp: next++, data}));
        if (next === samples.length) decoder.flush().catch(() => {}).then(() => { isOver = true; wake(); });
      }
      if (ready.length > 0) {
        const frame = ready.shift();
        const {number} = samples[frame.timestamp];
        if (number !== null) yield {number, frame}; else frame.close();
      } else if (!isOver) {
        await changed();
      }
    }
  } finally {
    ready.forEach(frame => frame.close());
    if (decoder.state !== "closed") decoder.close();
  }
}
