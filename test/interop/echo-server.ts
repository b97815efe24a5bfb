// What stands behind a tunnel: it sends back what it gets and knows how much that was.

import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";

export class EchoServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  /** Connections ever accepted. */
  connections = 0;
  /** Application bytes ever received. */
  received = 0;
  /** `address:port`, once `listen` resolved. */
  address = "";

  constructor() {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.connections += 1;
      this.#open.add(socket);
      socket.on("data", (chunk) => {
        this.received += chunk.length;
      });
      socket.on("close", () => this.#open.delete(socket)).on("error", () => {});
      socket.pipe(socket);
    });
  }

  /** @param port 0 for any */
  async listen(host: string, port = 0): Promise<this> {
    this.#server.listen(port, host);
    await once(this.#server, "listening");
    const found = this.#server.address();
    const bound = found !== null && typeof found === "object" ? found.port : port;
    this.address = host.includes(":") ? `[${host}]:${bound}` : `${host}:${bound}`;
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
