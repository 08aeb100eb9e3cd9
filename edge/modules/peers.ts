import ipaddr from "ipaddr.js";

type Network = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Parsed once: a binding is the same object for every request. */
const parsed = new WeakMap<readonly string[], readonly Network[]>();

/** Whether who connected has one of these addresses, or is in one of these networks (CIDR). */
export function isPeer(peers: readonly string[], { cf }: Request): boolean {
  const networks = parsed.get(peers) ?? peers.map(parseNetwork);
  parsed.set(peers, networks);
  // workerd adds the port.
  const address = String(cf?.["clientIp"])
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1");
  if (!ipaddr.isValid(address)) return false;
  const peer = ipaddr.process(address);
  return networks.some((network) => network[0].kind() === peer.kind() && peer.match(network));
}

function parseNetwork(text: string): Network {
  if (text.includes("/")) return ipaddr.parseCIDR(text);
  const address = ipaddr.process(text);
  return [address, address.kind() === "ipv4" ? 32 : 128];
}
