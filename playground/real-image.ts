// Container images without a registry: a few files become one layer in a docker-archive, which
// `ctr images import` takes. Formats: docker save's archive, OCI image configuration, ustar.

import { createHash } from "node:crypto";
import { open } from "node:fs/promises";

/** What a container is started from. */
export interface RealImage {
  /** As manifests name it, each with its tag. */
  readonly names: readonly string[];
  /** Absolute path in the container to content. All are executable and readable by everybody. */
  readonly files: ReadonlyMap<string, Buffer>;
  readonly entrypoint: readonly string[];
}

const BLOCK_BYTES = 512;
const MODE = "0000755";
const SEARCH_PATH = "PATH=/usr/local/bin:/usr/bin:/bin";

/** Writes the archive of an image. */
export async function writeImage(image: RealImage, path: string): Promise<void> {
  const layer = packFiles(image.files);
  const config = Buffer.from(JSON.stringify(configOf(image, digestOf(layer))));
  const [configName, layerName] = [`${digestOf(config)}.json`, "layer.tar"];
  const manifest = [{ Config: configName, RepoTags: image.names, Layers: [layerName] }];
  const archive = packFiles(
    new Map([
      [configName, config],
      [layerName, Buffer.concat(layer)],
      ["manifest.json", Buffer.from(JSON.stringify(manifest))],
    ]),
  );
  const file = await open(path, "w");
  try {
    await file.writev(archive);
  } finally {
    await file.close();
  }
}

function configOf(image: RealImage, layerDigest: string): object {
  return {
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    os: "linux",
    config: { Entrypoint: image.entrypoint, Env: [SEARCH_PATH] },
    rootfs: { type: "layers", diff_ids: [`sha256:${layerDigest}`] },
  };
}

function digestOf(content: Buffer | readonly Buffer[]): string {
  const hash = createHash("sha256");
  for (const part of Buffer.isBuffer(content) ? [content] : content) hash.update(part);
  return hash.digest("hex");
}

/** A tar archive as the pieces to be written one after the other. */
function packFiles(files: ReadonlyMap<string, Buffer>): Buffer[] {
  const pieces = [...files].flatMap(([path, content]) => {
    const padding = (BLOCK_BYTES - (content.length % BLOCK_BYTES)) % BLOCK_BYTES;
    return [header(path.replace(/^\//, ""), content.length), content, Buffer.alloc(padding)];
  });
  return [...pieces, Buffer.alloc(2 * BLOCK_BYTES)];
}

/** Fields and their places: POSIX.1-1988, ustar. */
function header(name: string, size: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const root = "0000000";
  block.write(name, 0);
  block.write(MODE, 100);
  block.write(root, 108);
  block.write(root, 116);
  block.write(size.toString(8).padStart(11, "0"), 124);
  block.write("00000000000", 136);
  block.write(" ".repeat(8), 148);
  block.write("0", 156);
  block.write("ustar\0" + "00", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}
