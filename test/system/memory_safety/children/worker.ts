/**
 * A worker that reads and writes the buffer that it receives for half a second, then
 * reports that it is done.
 *
 * @module
 */

const scope = globalThis as unknown as {
  onmessage: (event: { data: ArrayBuffer }) => void;
  postMessage(message: string): void;
};

scope.onmessage = ({ data }) => {
  const bytes = new Uint8Array(data);
  scope.postMessage("started");
  const end = Date.now() + 500;
  while (Date.now() < end) {
    for (let i = 0; i < bytes.length; i += 64) bytes[i]!++;
  }
  scope.postMessage(`used ${bytes.length} bytes`);
};
