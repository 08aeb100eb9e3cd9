import { ByteWriter } from "../../../protocol/packet-fields.ts";
import { MAX_PLAYER_PACKET_BYTES } from "../../../protocol/packet-framing.ts";
import {
  decodePlayerPacket,
  type Joined,
  type PlayerPacket,
  writePlayerPacket,
} from "../../../protocol/player-packets.ts";
import type { ClientConfig } from "../../../protocol/reliable/client/client-config.ts";
import { ClientMachine } from "../../../protocol/reliable/client/client-machine.ts";
import type { ClientEvent, ClientOutput } from "../../../protocol/reliable/client/client-output.ts";
import { splitPackets } from "../packets/cut-and-mutate.ts";

/** A client machine for tests: the test plays its network, its room and its clock. */
export class ClientProbe {
  readonly machine: ClientMachine;
  readonly outputs: ClientOutput[] = [];
  nowMs = 1_000;

  constructor(config: Partial<ClientConfig> = {}) {
    this.machine = new ClientMachine({
      token: new Uint8Array(20),
      room: "lobby",
      heartbeat: "packet",
      epochMs: () => Date.UTC(2026, 0, 1, 0, 0, 1),
      random: () => 0.5,
      ...config,
    });
  }

  /** The events since the last call, except states. */
  takeEvents(): ClientEvent[] {
    return this.#take("event", ({ event }) => event.kind !== "state").map(({ event }) => event);
  }

  takeStates(): string[] {
    const states = this.#take("event", ({ event }) => event.kind === "state");
    return states.flatMap(({ event }) => (event.kind === "state" ? [event.state] : []));
  }

  /** The packets that were written to a connection since the last call. */
  takePackets(connection: number): PlayerPacket[] {
    const writes = this.#take("write", (write) => write.connection === connection).map(({ bytes }) => bytes);
    return splitPackets(MAX_PLAYER_PACKET_BYTES, writes).map(decodePlayerPacket);
  }

  takeDials(): number[] {
    return this.#take("dial").map(({ connection }) => connection);
  }

  takeCloses(): number[] {
    return this.#take("close").map(({ connection }) => connection);
  }

  takeTexts(): string[] {
    return this.#take("writeText").map(({ text }) => text);
  }

  call(action: (machine: ClientMachine, nowMs: number) => void): void {
    action(this.machine, this.nowMs);
    this.outputs.push(...this.machine.takeOutputs(this.nowMs));
  }

  /** The room, or the bridge, sends these packets in one piece. */
  receive(connection: number, ...packets: PlayerPacket[]): void {
    const writer = new ByteWriter();
    for (const packet of packets) writePlayerPacket(writer, packet);
    this.call((machine, nowMs) => machine.received(connection, writer.finish(), nowMs));
  }

  /** Lets time pass, with a tick at each deadline, as a driver does. */
  wait(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const due = this.machine.deadlineMs;
      if (due === undefined || due > untilMs) break;
      this.nowMs = Math.max(due, this.nowMs);
      this.call((machine, nowMs) => machine.tick(nowMs));
      if ((this.machine.deadlineMs ?? untilMs + 1) <= this.nowMs)
        throw new Error("a deadline that a tick does not move");
    }
    this.nowMs = untilMs;
  }

  /** Opens a connection that was dialed, which then sends its Join. */
  open(connection: number): void {
    this.call((machine) => machine.connected(connection));
    this.call((machine, nowMs) => machine.opened(connection, nowMs));
  }

  /** Connects over connection 1, up to the room's first Ack, and discards the events. */
  establish(joined: Partial<Joined> = {}): void {
    this.call((machine, nowMs) => machine.connect(nowMs));
    this.open(1);
    this.receive(1, joinedPacket(joined), { kind: "ack", position: joined.received ?? 0 });
    this.outputs.length = 0;
  }

  #take<K extends ClientOutput["kind"]>(
    kind: K,
    matches: (output: Extract<ClientOutput, { kind: K }>) => boolean = () => true,
  ): Extract<ClientOutput, { kind: K }>[] {
    const isWanted = (output: ClientOutput): output is Extract<ClientOutput, { kind: K }> =>
      output.kind === kind && matches(output as Extract<ClientOutput, { kind: K }>);
    const taken = this.outputs.filter(isWanted);
    const left = this.outputs.filter((output) => !isWanted(output));
    this.outputs.splice(0, this.outputs.length, ...left);
    return taken;
  }
}

/** A Joined of member 5 in epoch 77, with the given differences. */
export function joinedPacket(fields: Partial<Joined> = {}): Joined {
  return {
    kind: "joined",
    resumed: false,
    member: 5,
    epoch: 77,
    offset: 0,
    received: 0,
    retentionSeconds: 30,
    heartbeatSeconds: 10,
    ...fields,
  };
}
