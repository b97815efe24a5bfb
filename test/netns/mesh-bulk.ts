// Program: sends many bytes to an echo server and hears them again. Arguments: address, port, how
// many. Its output is `sent HASH heard HASH`, SHA-256 of both ways without the greeting.

import { createHash, randomBytes } from "node:crypto";
import { connect } from "node:net";

const CHUNK_BYTES = 1 << 20;

if (import.meta.main) {
  const [address = "", port = "", lengthBytes = ""] = process.argv.slice(2);
  process.stdout.write(await exchange(address, Number(port), Number(lengthBytes)));
}

async function exchange(address: string, port: number, lengthBytes: number): Promise<string> {
  const socket = connect(port, address);
  const [sent, heard] = [createHash("sha256"), createHash("sha256")];
  const pattern = randomBytes(CHUNK_BYTES);
  const feed = async (): Promise<void> => {
    for (let left = lengthBytes; left > 0; left -= CHUNK_BYTES) {
      const chunk = pattern.subarray(0, Math.min(left, CHUNK_BYTES));
      // Each chunk differs, so that none can take another's place.
      chunk.writeUInt32BE(left, 0);
      const bytes = Buffer.from(chunk);
      sent.update(bytes);
      if (!socket.write(bytes)) await new Promise((resolve) => socket.once("drain", resolve));
    }
    socket.end();
  };
  const feeding = feed();
  let isGreeted = false;
  for await (const bytes of socket as AsyncIterable<Buffer>) {
    const end: number = isGreeted ? 0 : bytes.indexOf("\n") + 1;
    isGreeted ||= end > 0;
    if (isGreeted) heard.update(bytes.subarray(end));
  }
  await feeding;
  return `sent ${sent.digest("hex")} heard ${heard.digest("hex")}`;
}
