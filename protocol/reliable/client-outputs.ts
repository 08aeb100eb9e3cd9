import type { ClientLink } from "./client-link.ts";
import type { ClientEvent, ClientOutput } from "./client-output.ts";
import type { ClientState } from "./client-state.ts";

/** Collects what the client machine wants done until its driver takes it. */
export class ClientOutputs {
  #outputs: ClientOutput[] = [];
  #state: ClientState = "None";

  event(event: ClientEvent): void {
    this.#outputs.push({ kind: "event", event });
  }

  /** Tells the state if it is another one. */
  state(state: ClientState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.event({ kind: "state", state });
  }

  dial(link: ClientLink): void {
    this.#outputs.push({ kind: "dial", link: link.id });
  }

  textPing(link: ClientLink): void {
    this.#outputs.push({ kind: "writeText", link: link.id, text: "ping" });
  }

  /** Closes a connection behind what was written to it. */
  close(link: ClientLink): void {
    this.#flush(link);
    this.#outputs.push({ kind: "close", link: link.id });
  }

  take(links: readonly ClientLink[]): ClientOutput[] {
    for (const link of links) this.#flush(link);
    const taken = this.#outputs;
    this.#outputs = [];
    return taken;
  }

  #flush(link: ClientLink): void {
    const bytes = link.outbox.take();
    if (bytes !== undefined) this.#outputs.push({ kind: "write", link: link.id, bytes });
  }
}
