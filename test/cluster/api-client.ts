// The tests' own hands on an API server: JSON over kept-alive HTTPS with a client certificate.
// It retries nothing and caches nothing but discovery, so that a test sees what happened.

import { readFileSync } from "node:fs";
import { Agent, request as httpsRequest } from "node:https";
import { text } from "node:stream/consumers";
import { parseAllDocuments } from "yaml";
import type { KeyPair } from "./certificates.ts";

/** What every Kubernetes object has; a caller who knows the kind names a fuller type. */
export interface ApiObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
  };
}

/** An object to apply: only what finds its place is typed. */
export interface ApplyObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

/** What a patch means, by its media type. */
export type PatchType =
  | "application/merge-patch+json"
  | "application/strategic-merge-patch+json"
  | "application/apply-patch+yaml";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** The API server refused. `status` is HTTP's, `reason` the API's, e.g. `Forbidden`. */
export class ApiError extends Error {
  readonly status: number;
  readonly reason: string;

  constructor(what: string, status: number, reason: string, message: string) {
    super(`Cannot ${what}: API server says ${status} ${reason}: ${message}`);
    this.name = "ApiError";
    this.status = status;
    this.reason = reason;
  }
}

export interface ApiClientOptions {
  /** e.g. `https://127.0.0.1:6443` */
  readonly url: string;
  /** PEM file of the authority that signed the server's certificate. */
  readonly authorityFile: string;
  readonly credentials: KeyPair | { readonly token: string };
  /** Connections kept at most. @default 64 */
  readonly connections?: number;
}

interface Resource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export class ApiClient implements Disposable {
  readonly url: string;
  readonly #agent: Agent;
  readonly #token: string | undefined;
  readonly #resources = new Map<string, readonly Resource[]>();

  constructor(options: ApiClientOptions) {
    this.url = options.url;
    const { credentials } = options;
    const pair =
      "token" in credentials
        ? {}
        : {
            cert: readFileSync(credentials.certificateFile),
            key: readFileSync(credentials.keyFile),
          };
    this.#token = "token" in credentials ? credentials.token : undefined;
    this.#agent = new Agent({
      ...pair,
      ca: readFileSync(options.authorityFile),
      keepAlive: true,
      maxSockets: options.connections ?? 64,
    });
  }

  /**
   * Sends one request and reads the whole answer, which is JSON; its shape is the caller's claim.
   * @param path with its query, e.g. `/api/v1/nodes?limit=1`
   * @param patchType what the body of a PATCH is. @default a merge patch
   * @throws ApiError on any status but 2xx
   */
  async request<Answer = ApiObject>(
    method: Method,
    path: string,
    body?: unknown,
    patchType?: PatchType,
  ): Promise<Answer> {
    return JSON.parse(await this.requestText(method, path, body, patchType)) as Answer;
  }

  /** As `request`, for what is not one JSON value: `/readyz`, `/metrics`, a watch that ends. */
  async requestText(
    method: Method,
    path: string,
    body?: unknown,
    patchType: PatchType = "application/merge-patch+json",
  ): Promise<string> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers: Record<string, string | number> = { accept: "application/json" };
    if (this.#token !== undefined) headers["authorization"] = `Bearer ${this.#token}`;
    if (payload !== undefined) {
      headers["content-type"] = method === "PATCH" ? patchType : "application/json";
      headers["content-length"] = payload.length;
    }
    const { status, content } = await this.#send(method, path, headers, payload);
    if (status < 200 || status > 299) throw apiError(`${method} ${path}`, status, content);
    return content;
  }

  /**
   * Applies every document of a YAML text by server-side apply, in order. Objects without a
   * namespace go to `default`.
   */
  async applyYaml(manifest: string): Promise<void> {
    for (const document of parseAllDocuments(manifest)) {
      const [firstError] = document.errors;
      if (firstError !== undefined) throw firstError;
      const object: unknown = document.toJS();
      if (object !== null) await this.apply(object as ApplyObject);
    }
  }

  /** Creates or updates one object by server-side apply, taking fields over from other owners. */
  async apply<Answer = ApiObject>(object: ApplyObject): Promise<Answer> {
    const path = await this.pathOf(object);
    const query = "?fieldManager=innermesh-test&force=true";
    return this.request<Answer>("PATCH", path + query, object, "application/apply-patch+yaml");
  }

  /** Where an object lives, e.g. `/api/v1/namespaces/default/services/web`. */
  async pathOf(object: ApplyObject): Promise<string> {
    const { apiVersion, kind, metadata } = object;
    const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const resource = (await this.#discover(root, kind)) ?? (await this.#discover(root, kind, true));
    if (resource === undefined) throw new Error(`Cannot find kind "${kind}" in ${apiVersion}`);
    const scope = resource.namespaced ? `/namespaces/${metadata.namespace ?? "default"}` : "";
    return `${root}${scope}/${resource.name}/${metadata.name}`;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  async #discover(root: string, kind: string, again = false): Promise<Resource | undefined> {
    let known = this.#resources.get(root);
    if (known === undefined || again) {
      const list = await this.request<{ resources: Resource[] }>("GET", root);
      known = list.resources.filter((resource) => !resource.name.includes("/"));
      this.#resources.set(root, known);
    }
    return known.find((resource) => resource.kind === kind);
  }

  async #send(
    method: Method,
    path: string,
    headers: Record<string, string | number>,
    payload: Buffer | undefined,
  ): Promise<{ readonly status: number; readonly content: string }> {
    const { promise, resolve, reject } = Promise.withResolvers<{
      status: number;
      content: string;
    }>();
    const sent = httpsRequest(this.url + path, { method, headers, agent: this.#agent });
    sent.on("error", reject).on("response", (response) => {
      const status = response.statusCode ?? 0;
      text(response).then((content) => resolve({ status, content }), reject);
    });
    sent.end(payload);
    return promise;
  }
}

/** A refusal is a `Status` object, or plain text when it comes from before the API. */
function apiError(what: string, status: number, content: string): ApiError {
  let said: { readonly reason?: string; readonly message?: string } = {};
  try {
    said = JSON.parse(content) as typeof said;
  } catch {
    return new ApiError(what, status, "", content.trim());
  }
  return new ApiError(what, status, said.reason ?? "", said.message ?? content);
}
