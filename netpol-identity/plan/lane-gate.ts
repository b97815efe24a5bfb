// Who may open connections to Services that a proxy lane serves: settled in the kernel, before a
// worker takes one. The evaluator alone decides; here is whom it is asked about, and when again.
// A value holder: no I/O, no clock.

import { type Address, familyOf } from "../../lib/ip/address.ts";
import type { Cidr } from "../../lib/ip/cidr.ts";
import type { Family } from "../../lib/nft/objects.ts";
import type { Groups, PolicySet } from "../evaluate/policy-set.ts";
import type { SpiffeUri } from "../model/tunnel-plan.ts";
import { admittedBlocks, type AskedSet } from "./admitted-blocks.ts";
import { SetVerdicts } from "./set-verdicts.ts";

/** A pod as one side of a connection. */
export interface GateSide {
  /** Of the direction in which it is asked; undefined where no policy restricts that. */
  readonly set: PolicySet | undefined;
  /** null: it has none. */
  readonly identity: SpiffeUri | null;
}

/** What answers rest on, at one moment. */
export interface GateWorld {
  /** Pods of this node as clients, by each address of their own. */
  readonly pods: ReadonlyMap<Address, GateSide>;
  /** Whoever has the address, as a server. */
  readonly server: (address: Address) => GateSide;
  /** As which others see this node; undefined where that is not known. */
  readonly nodeAddress: (family: Family) => Address | undefined;
  /** What this node's processes prove to who has an identity; null: nothing. */
  readonly nodeIdentity: SpiffeUri | null;
  /** One whose members change is another object from then on. */
  readonly groups: Groups;
}

interface Endpoint {
  readonly address: Address;
  readonly port: number;
  readonly isMasqueraded?: true;
}

/** One entry point of a Service, as lanes ask about it. */
export interface GateQuestion {
  readonly inside: readonly Endpoint[];
  readonly outside: readonly Endpoint[];
  readonly isExternal: boolean;
}

export interface GateAnswer {
  readonly isGuarded: boolean;
  readonly pods: readonly Address[];
  readonly blocks: readonly Cidr[];
  readonly deniesNode: boolean;
}

interface Client extends GateSide {
  readonly address: Address;
}

/** A side as it was when somebody looked. */
interface Seen extends Client {
  /** Of its set. */
  readonly version: number;
}

interface Server extends GateSide, Endpoint {}

interface Told {
  readonly service: string;
  readonly family: Family;
  readonly questions: readonly GateQuestion[];
  readonly answers: readonly GateAnswer[];
  /** All that the questions name, as they are now. */
  servers: readonly Seen[];
  /** It was not asked again since its answers differ. */
  isOld: boolean;
}

const NOBODY: GateWorld = {
  pods: new Map(),
  server: () => ({ set: undefined, identity: null }),
  nodeAddress: () => undefined,
  nodeIdentity: null,
  groups: { addresses: () => undefined, identities: () => undefined },
};
const EVERYWHERE: Readonly<Record<Family, Cidr>> = { ip: "0.0.0.0/0", ip6: "::/0" };
/** So many lists of blocks are remembered; then they are made anew. */
const MAX_BLOCK_LISTS = 1_000;

export class LaneGate {
  readonly #told = new Map<string, Told>();
  readonly #blocks = new Map<string, readonly Cidr[]>();
  readonly #verdicts = new SetVerdicts(NOBODY.groups);
  /** See the lanes' own LaneGate. */
  logGroup: number | undefined;
  #world = NOBODY;
  #clients: readonly Seen[] = [];
  /** As whom others see this node. */
  #host = "";

  /**
   * Takes a new moment: until the first one everybody may connect.
   * @param touched addresses at which other servers may be than the moment before
   * @default all
   * @returns keys of the Services whose answers differ from what was told, to be marked as changed
   *   in the store; undefined where nothing differs, not even the pods
   */
  update(world: GateWorld, touched?: ReadonlySet<Address>): readonly string[] | undefined {
    const before = { host: this.#host, clients: this.#clients };
    this.#host = [world.nodeAddress("ip"), world.nodeAddress("ip6"), world.nodeIdentity].join();
    this.#world = world;
    this.#verdicts.renew(world.groups);
    this.#clients = [...world.pods].map(([address, side]) => this.#see(address, side));
    const arePodsSame = before.host === this.#host && areSame(before.clients, this.#clients);
    const news = arePodsSame ? this.#clientNews(before.clients) : "any";
    const changed = new Set<string>();
    for (const told of this.#told.values()) {
      const hasMoved = this.#look(told, touched, news);
      if (!hasMoved && !told.isOld) continue;
      told.isOld = !sameAnswers(told.answers, this.#answers(told));
      if (told.isOld) changed.add(told.service);
    }
    return arePodsSame && changed.size === 0 ? undefined : [...changed];
  }

  /** Pods of this node in that family, and which of them are restricted in whom they call. */
  gatedPods(family: Family): {
    readonly all: readonly Address[];
    readonly isolated: readonly Address[];
  } {
    const own = this.#clients.filter(({ address }) => familyOf(address) === family);
    const isolated = own.filter(({ set }) => set !== undefined);
    const addresses = (clients: readonly Client[]) => clients.map(({ address }) => address).sort();
    return { all: addresses(own), isolated: addresses(isolated) };
  }

  /**
   * Takes the place of what was asked about the Service in that family before.
   * @param service `namespace/name`
   * @returns one answer for each question
   */
  ask(service: string, family: Family, questions: readonly GateQuestion[]): readonly GateAnswer[] {
    const key = `${family} ${service}`;
    if (questions.length === 0) {
      this.#told.delete(key);
      return [];
    }
    const answers = this.#answers({ family, questions });
    const endpoints = questions.flatMap(({ inside, outside }) => [...inside, ...outside]);
    const addresses = new Set(endpoints.map(({ address }) => address));
    const servers = [...addresses].map((one) => this.#see(one, this.#world.server(one)));
    this.#told.set(key, { service, family, questions, answers, servers, isOld: false });
    return answers;
  }

  #answers({ family, questions }: Pick<Told, "family" | "questions">): readonly GateAnswer[] {
    const clients = this.#clients.filter(({ address }) => familyOf(address) === family);
    return questions.map(({ inside, outside, isExternal }) => {
      const servers = this.#servers(inside);
      const kinds = [...this.#kinds(servers).values()];
      const allowed = clients.filter((client) =>
        this.#mayConnect(client, client.set === undefined ? kinds : servers, servers),
      );
      const free = (list: readonly Client[]) => list.filter(({ set }) => set === undefined).length;
      const others = this.#servers(outside);
      const blocks = this.#admitted(family, others, isExternal);
      const isGuarded = free(allowed) < free(clients) || blocks[0] !== EVERYWHERE[family];
      const listed = isGuarded ? allowed : allowed.filter(({ set }) => set !== undefined);
      const pods = listed.map(({ address }) => address).sort();
      const deniesNode = others.length > 0 && !others.some((server) => this.#admitsHost(server));
      return { isGuarded, pods, blocks: isGuarded ? blocks : [], deniesNode };
    });
  }

  /**
   * Somebody who is led to nobody is told so, which takes a connection.
   * @param some that stand for all where the client is not one of them
   */
  #mayConnect(client: Client, some: readonly Server[], all: readonly Server[]): boolean {
    const isAmong = ({ address }: Server): boolean => address === client.address;
    return (
      all.length === 0 ||
      some.some((server) => this.#agree(client, server)) ||
      all.some((server) => isAmong(server) && this.#agree(client, server))
    );
  }

  /** Both sides: what the client may call, and who may call the server. */
  #agree(client: Client, server: Server): boolean {
    const { port, identity } = server;
    const callable = this.#isOwnNode(server) ? client.set?.ownNode : client.set;
    if (server.isMasqueraded === true && (client.identity === null || identity === null)) {
      const call = { port, address: server.address, identity };
      return !this.#verdicts.denies(callable, call) && !this.#deniesNode(server.set, server);
    }
    const self = client.address === server.address ? { isSelf: true as const } : {};
    const call = { port, address: server.address, identity, ...self };
    const visit = { port, address: client.address, identity: client.identity, ...self };
    return !this.#verdicts.denies(callable, call) && !this.#verdicts.denies(server.set, visit);
  }

  #isOwnNode({ address }: Server): boolean {
    return address === this.#world.nodeAddress(familyOf(address));
  }

  #admitted(family: Family, servers: readonly Server[], hasMembers: boolean): readonly Cidr[] {
    const isOpen = (server: Server): boolean =>
      server.set === undefined ||
      (server.isMasqueraded === true && !this.#deniesNode(server.set, server));
    if (servers.length === 0 || servers.some(isOpen)) return [EVERYWHERE[family]];
    const kinds = this.#kinds(servers.filter(({ isMasqueraded }) => isMasqueraded !== true));
    if (kinds.size === 0) return [];
    const sets = [...kinds.values()].flatMap(({ set, port }): readonly AskedSet[] =>
      set === undefined ? [] : [{ set, port }],
    );
    const key = [family, hasMembers, ...[...kinds.keys()].sort()].join(" ");
    const known = this.#blocks.get(key);
    if (known !== undefined) return known;
    const question = { family, sets, hasMembers };
    const blocks = admittedBlocks(question, this.#world.groups);
    if (this.#blocks.size >= MAX_BLOCK_LISTS) this.#blocks.clear();
    this.#blocks.set(key, blocks);
    return blocks;
  }

  /** One of each: to whom may call anybody, those of one set and port are alike. */
  #kinds(servers: readonly Server[]): ReadonlyMap<string, Server> {
    return new Map(
      servers.map((server) => {
        const { set, port, isMasqueraded = false } = server;
        return [`${this.#verdicts.versionOf(set)}:${port}:${isMasqueraded}`, server];
      }),
    );
  }

  /** Whether it lets in processes of this node: its own node's always, as the kernel does. */
  #admitsHost(server: Server): boolean {
    const { pods, nodeIdentity } = this.#world;
    const identity = server.identity === null ? null : nodeIdentity;
    return pods.has(server.address) || !this.#deniesNode(server.set, server, identity);
  }

  /** Whether the server's node lets nobody in who comes as this one. */
  #deniesNode(
    set: PolicySet | undefined,
    { address, port }: Endpoint,
    identity: SpiffeUri | null = null,
  ): boolean {
    const own = this.#world.nodeAddress(familyOf(address));
    return own !== undefined && this.#verdicts.denies(set, { port, address: own, identity });
  }

  #servers(endpoints: readonly Endpoint[]): readonly Server[] {
    return endpoints.map((endpoint) => ({
      ...endpoint,
      ...this.#world.server(endpoint.address),
    }));
  }

  /** About which servers this node's pods may get other answers; their sets are the same. */
  #clientNews(before: readonly Seen[]): ReadonlySet<Address> | "any" {
    const all = new Set<Address>();
    for (const [i, { set, version }] of this.#clients.entries()) {
      if (set === undefined || version === before[i]?.version) continue;
      const news = this.#verdicts.newsOf(set);
      if (news === "any") return news;
      for (const address of news) all.add(address);
    }
    return all;
  }

  /** Looks at its servers again. @returns whether the answers may be others */
  #look(
    told: Told,
    touched: ReadonlySet<Address> | undefined,
    news: ReadonlySet<Address> | "any",
  ): boolean {
    let hasMoved = news === "any";
    let areSeen = true;
    const servers = told.servers.map((known) => {
      const { address } = known;
      if (news !== "any" && news.has(address)) hasMoved = true;
      const isTouched = touched === undefined || touched.has(address);
      const side = isTouched ? this.#world.server(address) : known;
      const version = this.#verdicts.versionOf(side.set);
      if (version === known.version && side.identity === known.identity) return known;
      areSeen = false;
      return this.#see(address, side);
    });
    if (areSeen) return hasMoved;
    told.servers = servers;
    return true;
  }

  #see(address: Address, { set, identity }: GateSide): Seen {
    return { address, set, identity, version: this.#verdicts.versionOf(set) };
  }
}

/** Pods with the same sets, in whatever version. */
function areSame(before: readonly Client[], after: readonly Client[]): boolean {
  return (
    before.length === after.length &&
    before.every(({ address, set, identity }, i) => {
      const now = after[i];
      return now?.address === address && now.set?.id === set?.id && now.identity === identity;
    })
  );
}

function sameAnswers(before: readonly GateAnswer[], after: readonly GateAnswer[]): boolean {
  return before.every((answer, i) => {
    const { isGuarded, pods, blocks, deniesNode } = after[i] ?? answer;
    return (
      answer.isGuarded === isGuarded &&
      answer.deniesNode === deniesNode &&
      same(answer.pods, pods) &&
      same(answer.blocks, blocks)
    );
  });
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((one, i) => one === b[i]));
}
