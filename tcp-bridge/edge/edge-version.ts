import type { IncomingHttpHeaders } from "node:http";
import type { Logger } from "pino";
import {
  EDGE_HEADER,
  PACKAGE_VERSION,
  PACKAGE_VERSION_PATTERN,
  PROTOCOL_HEADER,
  partToUpgrade,
  spokenProtocol,
  WIRE_PROTOCOL_VERSION,
} from "../../protocol/versions.ts";
import { StateNews } from "./edge-redial.ts";

/** What this bridge and its edge are; null: the edge has not told. */
export interface Versions {
  readonly version: string;
  readonly protocol: string;
  readonly edge: { readonly version: string | null; readonly protocol: string | null };
}

/** What the edge tells of itself in the headers of its responses (docs/wire-protocol.md, "Versions"). */
export class EdgeVersion {
  readonly #logger: Logger;
  readonly #news = new StateNews("fits");
  #edge: Versions["edge"] = { version: null, protocol: null };

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get versions(): Versions {
    return { version: PACKAGE_VERSION, protocol: WIRE_PROTOCOL_VERSION, edge: this.#edge };
  }

  /** Why the edge's responses cannot be read, if it speaks a wire protocol that this bridge does not. That is logged when it is news. */
  misfit(headers: IncomingHttpHeaders): string | undefined {
    const [told, protocol] = [textOf(headers, EDGE_HEADER), textOf(headers, PROTOCOL_HEADER)];
    const spoken = spokenProtocol(protocol);
    const version = told !== undefined && PACKAGE_VERSION_PATTERN.test(told) ? told : null;
    this.#edge = { version, protocol: spoken === protocol ? spoken : null };
    const part = partToUpgrade({ bridge: WIRE_PROTOCOL_VERSION, edge: spoken });
    const isNews = this.#news.isNews(part ?? "fits");
    if (part === undefined) {
      if (isNews) this.#logger.info(this.versions, "the edge speaks the wire protocol of this bridge again");
      return undefined;
    }
    const why = `the edge speaks wire protocol ${spoken}, this bridge ${WIRE_PROTOCOL_VERSION}: upgrade the ${part}`;
    if (isNews) this.#logger.error({ code: "edge_version", ...this.versions }, why);
    return why;
  }
}

/** A header; undefined if there is none, or if there are two. */
function textOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name.toLowerCase()];
  return typeof value === "string" ? value : undefined;
}
