import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import { AbstractConnector, type RedisOptions } from "ioredis";
import { isSame, type PrimaryLocator, type ServerAddress } from "./sentinels.ts";

type Connector = NonNullable<RedisOptions["Connector"]>;

/** An ended connection has nothing left to say; a silent one would not even confirm its end. */
const NO_GRACE_MS = 0;

/**
 * How ioredis opens a connection to the primary of now, each time that the last one has ended. When another server becomes
 * the primary, whatever leads elsewhere ends at once: connections that are being made, and those whose server is silent.
 */
export function connectorTo(locator: PrimaryLocator, tls: boolean): Connector {
  return class PrimaryConnector extends AbstractConnector {
    #leadsTo: ServerAddress | undefined;

    constructor() {
      super(NO_GRACE_MS);
      locator.follow(() => {
        if (this.#leadsTo !== undefined && !isSame(this.#leadsTo, locator.primary)) this.stream?.destroy();
      });
    }

    /** Sentinels may name a server that does not know yet, or no longer, that it is the primary. */
    override check({ role }: { readonly role?: string }): boolean {
      return role === undefined || role === "master";
    }

    /** Rejects only when the locator is closed: ioredis never opens a connection again after a rejection. */
    override async connect(emit: (type: string, problem: Error) => void) {
      const address = await locator.locate((problem) => emit("error", problem));
      this.#leadsTo = address;
      const stream = tls ? connectTls(address) : connectTcp(address);
      stream.once("error", (error) => {
        this.firstError = error;
      });
      this.stream = stream;
      return stream;
    }

    override disconnect(): void {
      this.stream?.destroy();
    }
  };
}
