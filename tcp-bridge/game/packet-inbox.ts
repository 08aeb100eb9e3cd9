import { packetSizeAt, packetType } from "../../protocol/packet-framing.ts";

/** Whole packets that lie together, and when they came. */
interface Run {
  readonly bytes: Uint8Array;
  /** Where the first packet that has not been taken starts. */
  at: number;
  packets: number;
  readonly receivedMs: number;
}

/** Gets whole packets that lie together, their number, and when they came. */
export type RunSink = (bytes: Uint8Array, packets: number, receivedMs: number) => void;

/** The packets of one connection that wait for a batch, in order. It holds what was received, without a copy. */
export class PacketInbox {
  readonly #runs: Run[] = [];
  #packets = 0;

  /** How many packets wait. */
  get packets(): number {
    return this.#packets;
  }

  push(bytes: Uint8Array, packets: number, receivedMs: number): void {
    this.#runs.push({ bytes, at: 0, packets, receivedMs });
    this.#packets += packets;
  }

  /** Takes packets from the front, as many as both bounds allow, and returns their number. */
  take(maxPackets: number, maxBytes: number, sink: RunSink): number {
    let packetsLeft = maxPackets;
    let bytesLeft = maxBytes;
    for (let run = this.#runs[0]; run !== undefined && packetsLeft > 0; run = this.#runs[0]) {
      const start = run.at;
      const whole = run.packets <= packetsLeft && run.bytes.byteLength - start <= bytesLeft;
      const taken = whole ? run.packets : leadingPackets(run, packetsLeft, bytesLeft);
      const end = whole ? run.bytes.byteLength : endOf(run, taken);
      if (taken > 0) sink(run.bytes.subarray(start, end), taken, run.receivedMs);
      packetsLeft -= taken;
      bytesLeft -= end - start;
      this.#packets -= taken;
      run.at = end;
      run.packets -= taken;
      if (run.packets > 0) break;
      this.#runs.shift();
    }
    return maxPackets - packetsLeft;
  }

  /** Takes the packets that came before `beforeMs`. */
  takeOlder(beforeMs: number, sink: RunSink): void {
    for (let run = this.#runs[0]; run !== undefined && run.receivedMs < beforeMs; run = this.#runs[0]) {
      sink(run.bytes.subarray(run.at), run.packets, run.receivedMs);
      this.#packets -= run.packets;
      this.#runs.shift();
    }
  }

  /** How many packets at the front, up to `maxPackets`, are of a type that `accepts` accepts. */
  leading(maxPackets: number, accepts: (type: number) => boolean): number {
    let count = 0;
    for (const run of this.#runs) {
      for (let at = run.at; at < run.bytes.byteLength; at += packetSizeAt(run.bytes, at)) {
        const type = packetType(run.bytes, at);
        if (count === maxPackets || !accepts(type)) return count;
        count += 1;
      }
    }
    return count;
  }

  clear(): void {
    this.#runs.length = 0;
    this.#packets = 0;
  }
}

function leadingPackets(run: Run, maxPackets: number, maxBytes: number): number {
  let at = run.at;
  let packets = 0;
  while (packets < maxPackets && packets < run.packets) {
    at += packetSizeAt(run.bytes, at);
    if (at - run.at > maxBytes) break;
    packets += 1;
  }
  return packets;
}

function endOf(run: Run, packets: number): number {
  let at = run.at;
  for (let packet = 0; packet < packets; packet++) at += packetSizeAt(run.bytes, at);
  return at;
}
