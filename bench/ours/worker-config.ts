import type { EdgeBindings } from "../../edge/edge-build.ts";
import { list, namespaceText, text } from "../../edge/workerd-config.ts";

/** Our worker, once. */
export interface EdgeService {
  readonly port: number;
  /** Variables and secrets, over those of wrangler.toml. */
  readonly variables: Readonly<Record<string, string>>;
}

/**
 * The text of workerd's configuration for our bundle, with the bindings of the production environment, as Cloudflare would run it:
 * several edges may be one process, and nothing of edge/ is in front of them. No measured request asks for rate limits, which always
 * agree, nor for accounts, the password hasher and static files, which have no server.
 *
 * @param directory holds index.js and an empty folder `data` for the Durable Objects, which the first edge has for all
 */
export function productionConfig(directory: string, bindings: EdgeBindings, edges: readonly EdgeService[]): string {
  const { compatibilityDate, compatibilityFlags, durableObjects, rateLimits } = bindings;
  const bindingsOf = (variables: EdgeService["variables"]) => [
    ...Object.entries({ ...bindings.variables, ...variables }).map(
      ([name, value]) => `(name = ${text(name)}, text = ${text(value)})`,
    ),
    ...durableObjects.map(
      ({ name, className }) =>
        `(name = ${text(name)}, durableObjectNamespace = (className = ${text(className)}, serviceName = "worker0"))`,
    ),
    ...rateLimits.map(({ name }) => `(name = ${text(name)}, wrapped = (moduleName = "bench:rate-limit"))`),
    ...[bindings.database, bindings.passwordHasher, bindings.assets].map(
      (name) => `(name = ${text(name)}, service = "nowhere")`,
    ),
  ];
  const namespaces = durableObjects.map(({ className }) => namespaceText(className, className));
  const workers = edges.map(({ port, variables }, index) => ({
    port,
    compatibilityDate,
    compatibilityFlags,
    bindings: bindingsOf(variables),
    namespaces: index === 0 ? namespaces : [],
  }));
  return configText(directory, workers);
}

/** The same for a bundle without bindings. */
export function plainConfig(
  directory: string,
  { compatibilityDate }: Pick<EdgeBindings, "compatibilityDate">,
  port: number,
): string {
  return configText(directory, [{ port, compatibilityDate, compatibilityFlags: [], bindings: [], namespaces: [] }]);
}

interface WorkerParts {
  readonly port: number;
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly bindings: readonly string[];
  readonly namespaces: readonly string[];
}

function configText(directory: string, workers: readonly WorkerParts[]): string {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = ${list([
    ...workers.map(serviceText),
    `(name = "data", disk = (path = ${text(`${directory}/data`)}, writable = true))`,
    `(name = "network", network = (allow = ["local", "private", "public"]))`,
    `(name = "nowhere", external = (address = "127.0.0.1:1", http = ()))`,
  ])},
  sockets = ${list(
    workers.map(
      ({ port }, index) =>
        `(name = "http${index}", address = "127.0.0.1:${port}", http = (), service = "worker${index}")`,
    ),
  )},
  extensions = [(modules = [(name = "bench:rate-limit", internal = true,
    esModule = "export default () => ({ limit: async () => ({ success: true }) });")])],
);
`;
}

function serviceText(parts: WorkerParts, index: number): string {
  return `(name = "worker${index}", worker = (
      modules = [(name = "index.js", esModule = embed "index.js")],
      compatibilityDate = ${text(parts.compatibilityDate)},
      compatibilityFlags = ${list(parts.compatibilityFlags.map(text))},
      bindings = ${list(parts.bindings)},
      durableObjectNamespaces = ${list(parts.namespaces)},
      durableObjectStorage = (localDisk = "data"),
      globalOutbound = "network",
    ))`;
}
