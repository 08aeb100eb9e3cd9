import { fileURLToPath } from "node:url";
import { unstable_readConfig } from "wrangler";

const WRANGLER_TOML = fileURLToPath(new URL("../../wrangler.toml", import.meta.url));

/** A Durable Object's binding as wrangler.toml has it; the types that wrangler ships leave it open. */
interface NamedClass {
  readonly name: string;
  readonly class_name: string;
}

/** How workerd is to run a bundle. */
export interface WorkerConfig {
  readonly port: number;
  /** Holds index.js and an empty folder `data` for the Durable Objects. */
  readonly directory: string;
  /** Variables and secrets, over those of wrangler.toml. */
  readonly variables: Readonly<Record<string, string>>;
}

/**
 * The text of workerd's configuration for our bundle in `directory`, with the bindings that wrangler.toml gives to the
 * production environment. Some of them exist on Cloudflare's network only, so they have stand-ins that no measured request
 * asks: rate limits always agree, the account database, the password hasher and the static files have no server.
 */
export function productionConfig({ port, directory, variables }: WorkerConfig): string {
  const config = unstable_readConfig({ config: WRANGLER_TOML, env: "production" }, { hideWarnings: true });
  const classes = config.durable_objects.bindings;
  const bindings = [
    ...Object.entries({ ...config.vars, ...variables }).map(
      ([name, value]) => `(name = ${text(name)}, text = ${text(String(value))})`,
    ),
    ...classes.map(
      ({ name, class_name }: NamedClass) =>
        `(name = ${text(name)}, durableObjectNamespace = (className = ${text(class_name)}))`,
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
  return configText(port, directory, {
    compatibilityDate: config.compatibility_date ?? "",
    compatibilityFlags: config.compatibility_flags,
    bindings,
    namespaces,
  });
}

/** The same for a bundle without bindings. */
export function plainConfig(port: number, directory: string): string {
  const { compatibility_date } = unstable_readConfig({ config: WRANGLER_TOML }, { hideWarnings: true });
  return configText(port, directory, {
    compatibilityDate: compatibility_date ?? "",
    compatibilityFlags: [],
    bindings: [],
    namespaces: [],
  });
}

interface WorkerParts {
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly bindings: readonly string[];
  readonly namespaces: readonly string[];
}

function configText(port: number, directory: string, parts: WorkerParts): string {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "worker", worker = (
      modules = [(name = "index.js", esModule = embed "index.js")],
      compatibilityDate = ${text(parts.compatibilityDate)},
      compatibilityFlags = [${parts.compatibilityFlags.map(text).join(", ")}],
      bindings = [${parts.bindings.join(",\n        ")}],
      durableObjectNamespaces = [${parts.namespaces.join(", ")}],
      durableObjectStorage = (localDisk = "data"),
      globalOutbound = "network",
    )),
    (name = "data", disk = (path = ${text(`${directory}/data`)}, writable = true)),
    (name = "network", network = (allow = ["local", "private", "public"])),
    (name = "nowhere", external = (address = "127.0.0.1:1", http = ())),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "worker")],
  extensions = [(modules = [(name = "bench:rate-limit", internal = true,
    esModule = "export default () => ({ limit: async () => ({ success: true }) });")])],
);
`;
}

/** Cap'n Proto's text literals escape as JSON's do, for what stands here. */
function text(value: string): string {
  return JSON.stringify(value);
}
