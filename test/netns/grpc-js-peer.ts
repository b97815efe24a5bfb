// Program: the reference implementation of gRPC for Node, as a server or as a client, in a pod's
// place. Messages are bytes: no schema is needed to carry them.

import { once } from "node:events";
import {
  type ChannelCredentials,
  Client,
  credentials,
  type handleBidiStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
  status,
} from "@grpc/grpc-js";

const asIs = (bytes: Buffer): Buffer => bytes;
const call = (path: string, streams: boolean) => ({
  path,
  requestStream: streams,
  responseStream: streams,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
});
const GREETER: ServiceDefinition = {
  greet: call("/a.Greeter/Greet", false),
  chat: call("/a.Greeter/Chat", true),
};

/** What a client saw. */
export interface GrpcOutcome {
  /** Pods that answered unary calls, by number of answers. */
  readonly pods: Readonly<Record<string, number>>;
  /** Messages of a stream both ways, in order. */
  readonly chat: readonly string[];
  /** Status of a call that the server refuses, and its message. */
  readonly refused: readonly [number, string];
  /** Status of a call that the server lets wait longer than its deadline. */
  readonly late: number;
  /** A response header and a trailer of a unary call. */
  readonly metadata: readonly [string, string];
}

if (import.meta.main) {
  const [role = "", address = "", name = ""] = process.argv.slice(2);
  if (role === "server") await serve(address, name);
  else process.stdout.write(`${JSON.stringify(await ask(address))}\n`);
}

async function serve(address: string, name: string): Promise<void> {
  const server = new Server();
  const greet: handleUnaryCall<Buffer, Buffer> = (request, answer) => {
    const word = request.request.toString();
    if (word === "refuse") {
      return answer({ code: status.FAILED_PRECONDITION, details: "not today" });
    }
    const header = new Metadata();
    header.set("x-pod", name);
    request.sendMetadata(header);
    const trailer = new Metadata();
    trailer.set("x-checksum", String(word.length));
    const reply = (): void => answer(null, Buffer.from(name), trailer);
    if (word === "wait") setTimeout(reply, 5_000);
    else reply();
  };
  const chat: handleBidiStreamingCall<Buffer, Buffer> = (stream) => {
    stream.on("data", (bytes: Buffer) => stream.write(Buffer.from(`re ${bytes.toString()}`)));
    stream.on("end", () => stream.end());
  };
  server.addService(GREETER, { greet, chat });
  await new Promise<void>((resolve, reject) => {
    const insecure = ServerCredentials.createInsecure();
    server.bindAsync(address, insecure, (error) => (error === null ? resolve() : reject(error)));
  });
  process.stdout.write("listening\n");
}

async function ask(address: string): Promise<GrpcOutcome> {
  const insecure: ChannelCredentials = credentials.createInsecure();
  const client = new Client(address, insecure);
  const pods: Record<string, number> = {};
  for (let n = 0; n < 40; n++) {
    const { answer } = await unary(client, "hello");
    pods[answer] = (pods[answer] ?? 0) + 1;
  }
  const { header, trailer } = await unary(client, "hello");
  const refused = await failure(unary(client, "refuse"));
  const late = await failure(unary(client, "wait", 300));
  const chatted = await chat(client);
  client.close();
  return {
    pods,
    chat: chatted,
    refused: [refused.code, refused.details],
    late: late.code,
    metadata: [String(header.get("x-pod")[0]), String(trailer.get("x-checksum")[0])],
  };
}

interface Answered {
  readonly answer: string;
  readonly header: Metadata;
  readonly trailer: Metadata;
}

function unary(client: Client, word: string, deadlineMs = 5_000): Promise<Answered> {
  return new Promise((resolve, reject) => {
    let header = new Metadata();
    let trailer = new Metadata();
    const deadline = Date.now() + deadlineMs;
    const request = client.makeUnaryRequest(
      "/a.Greeter/Greet",
      asIs,
      asIs,
      Buffer.from(word),
      new Metadata(),
      { deadline },
      (error, bytes) => {
        if (error !== null) return reject(error);
        // The status comes after the answer.
        setImmediate(() => resolve({ answer: String(bytes), header, trailer }));
      },
    );
    request.on("metadata", (got: Metadata) => (header = got));
    request.on("status", ({ metadata }) => (trailer = metadata));
  });
}

async function failure(answered: Promise<Answered>): Promise<ServiceError> {
  return answered.then(
    ({ answer }) => Promise.reject(new Error(`answered: ${answer}`)),
    (error: ServiceError) => error,
  );
}

async function chat(client: Client): Promise<readonly string[]> {
  const stream = client.makeBidiStreamRequest("/a.Greeter/Chat", asIs, asIs);
  const heard: string[] = [];
  stream.on("data", (bytes: Buffer) => heard.push(bytes.toString()));
  const ended = once(stream, "end");
  for (let n = 0; n < 20; n++) stream.write(Buffer.from(`message ${n}`));
  stream.end();
  await ended;
  return heard;
}
