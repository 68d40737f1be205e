// A thread that is bound by the policy of its page (Content-Security-Policy), as are those that it starts.
// A thread from a file has the policy that the server sends with the file, and a server of files sends none;
// one from a blob has that of whoever starts it. So every thread is a blob that imports its file.

const OwnWorker = globalThis.Worker;

/** @param {string|URL} address of a module, absolute @param {object} options of a Worker */
export function startThread(address, options = {}) {
  const script = `import ${JSON.stringify(String(address))};`;
  const blob = new Blob([script], {type: "text/javascript"});
  return new OwnWorker(URL.createObjectURL(blob), {...options, type: "module"});
}

/** Lets also the code of others, here in this thread, start none but bound ones. */
export function bindThreads() {
  globalThis.Worker = function (address, options) {
    return startThread(new URL(address, import.meta.url), options);
  };
}
