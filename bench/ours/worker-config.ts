import { fileURLToPath } from "node:url";
import { unstable_readConfig } from "wrangler";

const WRANGLER_TOML = fileURLToPath(new URL("../../wrangler.toml", import.meta.url));

/** A Durable Object's binding as wrangler.toml has it; the types that wrangler ships leave it open. */
interface NamedClass {
  readonly name: string;
  readonly class_name: string;
}

/** Our worker, once. */
export interface EdgeService {
  readonly port: number;
  /** Variables and secrets, over those of wrangler.toml. */
  readonly variables: Readonly<Record<string, string>>;
}

/**
 * The text of workerd's configuration for our bundle, with the bindings that wrangler.toml gives to the production
 * environment. Some of them exist on Cloudflare's network only, so they have stand-ins that no measured request asks: rate
 * limits always agree, the account database, the password hasher and the static files have no server.
 *
 * @param directory holds index.js and an empty folder `data` for the Durable Objects, which the first edge has for all
 */
export function productionConfig(directory: string, edges: readonly EdgeService[]): string {
  const config = unstable_readConfig({ config: WRANGLER_TOML, env: "production" }, { hideWarnings: true });
  const classes = config.durable_objects.bindings;
  const bindingsOf = (variables: EdgeService["variables"]) => [
    ...Object.entries({ ...config.vars, ...variables }).map(
      ([name, value]) => `(name = ${text(name)}, text = ${text(String(value))})`,
    ),
    ...classes.map(
      ({ name, class_name }: NamedClass) =>
        `(name = ${text(name)}, durableObjectNamespace = (className = ${text(class_name)}, serviceName = "worker0"))`,
    ),
    ...config.ratelimits.map(
      ({ name }: { name: string }) => `(name = ${text(name)}, wrapped = (moduleName = "bench:rate-limit"))`,
    ),
    ...config.d1_databases.map(
      ({ binding }: { binding: string }) =>
        `(name = ${text(binding)}, wrapped = (moduleName = "cloudflare-internal:d1-api", innerBindings = [(name = "fetcher", service = "nowhere")]))`,
    ),
    ...config.services.map(({ binding }: { binding: string }) => `(name = ${text(binding)}, service = "nowhere")`),
    ...(config.assets?.binding === undefined ? [] : [`(name = ${text(config.assets.binding)}, service = "nowhere")`]),
  ];
  const namespaces = classes.map(
    ({ class_name }: NamedClass) =>
      `(className = ${text(class_name)}, uniqueKey = ${text(class_name)}, enableSql = true)`,
  );
  const workers = edges.map(({ port, variables }, index) => ({
    port,
    compatibilityDate: config.compatibility_date ?? "",
    compatibilityFlags: config.compatibility_flags,
    bindings: bindingsOf(variables),
    namespaces: index === 0 ? namespaces : [],
  }));
  return configText(directory, workers);
}

/** The same for a bundle without bindings. */
export function plainConfig(directory: string, port: number): string {
  const { compatibility_date } = unstable_readConfig({ config: WRANGLER_TOML }, { hideWarnings: true });
  return configText(directory, [
    { port, compatibilityDate: compatibility_date ?? "", compatibilityFlags: [], bindings: [], namespaces: [] },
  ]);
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
  services = [
    ${workers.map(serviceText).join(",\n    ")},
    (name = "data", disk = (path = ${text(`${directory}/data`)}, writable = true)),
    (name = "network", network = (allow = ["local", "private", "public"])),
    (name = "nowhere", external = (address = "127.0.0.1:1", http = ())),
  ],
  sockets = [${workers
    .map(
      ({ port }, index) =>
        `(name = "http${index}", address = "127.0.0.1:${port}", http = (), service = "worker${index}")`,
    )
    .join(",\n    ")}],
  extensions = [(modules = [(name = "bench:rate-limit", internal = true,
    esModule = "export default () => ({ limit: async () => ({ success: true }) });")])],
);
`;
}

function serviceText(parts: WorkerParts, index: number): string {
  return `(name = "worker${index}", worker = (
      modules = [(name = "index.js", esModule = embed "index.js")],
      compatibilityDate = ${text(parts.compatibilityDate)},
      compatibilityFlags = [${parts.compatibilityFlags.map(text).join(", ")}],
      bindings = [${parts.bindings.join(",\n        ")}],
      durableObjectNamespaces = [${parts.namespaces.join(", ")}],
      durableObjectStorage = (localDisk = "data"),
      globalOutbound = "network",
    ))`;
}

/** Cap'n Proto's text literals escape as JSON's do, for what stands here. */
function text(value: string): string {
  return JSON.stringify(value);
}
