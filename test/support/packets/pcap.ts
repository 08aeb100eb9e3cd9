/** What one side of a TCP connection sends at once. */
export interface Segment {
  readonly fromClient: boolean;
  readonly bytes: Uint8Array;
}

/** Raw IP packets (https://www.tcpdump.org/linktypes.html). */
const LINKTYPE_RAW = 101;
const SYN = 2;
const PUSH = 8;
const ACK = 16;
const FIRST_CLIENT_PORT = 40_000;

/** A capture file (libpcap's format) of TCP connections to `port`: of each its handshake, then a packet for each segment. */
export function tcpCapture(port: number, connections: readonly (readonly Segment[])[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(65_535, 16);
  header.writeUInt32LE(LINKTYPE_RAW, 20);
  return Buffer.concat([
    header,
    ...connections.flatMap((segments, index) => packetsOf(port, FIRST_CLIENT_PORT + index, segments)),
  ]);
}

function packetsOf(port: number, clientPort: number, segments: readonly Segment[]): Buffer[] {
  const next = { client: 1_000, server: 5_000 };
  let at = 0;
  const packet = ({ fromClient, bytes }: Segment, flags: number): Buffer => {
    const [from, to] = fromClient ? (["client", "server"] as const) : (["server", "client"] as const);
    const ip = Buffer.alloc(40);
    ip.writeUInt16BE(0x4500, 0);
    ip.writeUInt16BE(40 + bytes.byteLength, 2);
    ip.writeUInt16BE(0x4006, 8);
    ip.set([10, 0, 0, fromClient ? 1 : 2, 10, 0, 0, fromClient ? 2 : 1], 12);
    ip.writeUInt16BE(fromClient ? clientPort : port, 20);
    ip.writeUInt16BE(fromClient ? port : clientPort, 22);
    ip.writeUInt32BE(next[from], 24);
    ip.writeUInt32BE((flags & ACK) === 0 ? 0 : next[to], 28);
    // Five words of header.
    ip.writeUInt16BE(0x5000 | flags, 32);
    ip.writeUInt16BE(65_535, 34);
    next[from] += bytes.byteLength + ((flags & SYN) === 0 ? 0 : 1);
    const record = Buffer.alloc(16);
    record.writeUInt32LE(++at, 0);
    record.writeUInt32LE(40 + bytes.byteLength, 8);
    record.writeUInt32LE(40 + bytes.byteLength, 12);
    return Buffer.concat([record, ip, bytes]);
  };
  const nothing = new Uint8Array();
  return [
    packet({ fromClient: true, bytes: nothing }, SYN),
    packet({ fromClient: false, bytes: nothing }, SYN | ACK),
    packet({ fromClient: true, bytes: nothing }, ACK),
    ...segments.map((segment) => packet(segment, PUSH | ACK)),
  ];
}
