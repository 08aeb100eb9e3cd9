import { BlockList, isIPv4 } from "node:net";
import type { Manifest } from "./manifests.ts";

type Labels = Readonly<Record<string, string>>;

/** One end of a connection: a pod, or an address outside the cluster. */
export type Peer =
  | { readonly namespace: Labels; readonly pod: Labels }
  /** IPv4. */
  | { readonly address: string };

/** The port of a pod by number, and by the name that its container gives it. */
export interface PodPort {
  readonly number: number;
  readonly name?: string | undefined;
}

interface Selector {
  readonly matchLabels?: Labels;
}

interface PeerRule {
  readonly podSelector?: Selector;
  readonly namespaceSelector?: Selector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}

interface Rule {
  readonly from?: readonly PeerRule[];
  readonly to?: readonly PeerRule[];
  readonly ports?: readonly { readonly port: number | string; readonly protocol: string }[];
}

/**
 * Whether NetworkPolicies let a connection through, by Kubernetes' rules: a pod that no policy selects is open; otherwise one rule of
 * one policy must allow it, at the end that it leaves and at the end where it arrives. The policies' own namespace has the labels
 * `home`.
 */
export function mayConnect(
  policies: readonly Manifest[],
  home: Labels,
  { from, to, port, protocol = "TCP" }: { from: Peer; to: Peer; port: PodPort; protocol?: string },
): boolean {
  const allowedBy = (self: Peer, other: Peer, direction: "Ingress" | "Egress"): boolean => {
    if ("address" in self || !isSubset(home, self.namespace)) return true;
    const selecting = policies.filter(
      ({ spec }) => spec.policyTypes.includes(direction) && matches(spec.podSelector, self.pod),
    );
    if (selecting.length === 0) return true;
    const rules: Rule[] = selecting.flatMap(({ spec }) => (direction === "Ingress" ? spec.ingress : spec.egress) ?? []);
    return rules.some((rule) => {
      const peers = direction === "Ingress" ? rule.from : rule.to;
      const isPeer = peers === undefined || peers.some((each) => matchesPeer(each, other, home));
      return isPeer && matchesPort(rule, port, protocol);
    });
  };
  return allowedBy(from, to, "Egress") && allowedBy(to, from, "Ingress");
}

function matchesPort({ ports }: Rule, port: PodPort, protocol: string): boolean {
  if (ports === undefined) return true;
  return ports.some((each) => each.protocol === protocol && (each.port === port.number || each.port === port.name));
}

function matchesPeer(rule: PeerRule, peer: Peer, home: Labels): boolean {
  if ("address" in peer) {
    const { cidr, except = [] } = rule.ipBlock ?? {};
    return cidr !== undefined && isIn(peer.address, cidr) && !except.some((each) => isIn(peer.address, each));
  }
  if (rule.ipBlock !== undefined) return false;
  const { namespaceSelector, podSelector } = rule;
  const isNamespace =
    namespaceSelector === undefined ? isSubset(home, peer.namespace) : matches(namespaceSelector, peer.namespace);
  return isNamespace && (podSelector === undefined || matches(podSelector, peer.pod));
}

function matches(selector: Selector, labels: Labels): boolean {
  const unknown = Object.keys(selector).filter((key) => key !== "matchLabels");
  if (unknown.length > 0) throw new Error(`not understood: ${unknown.join(", ")}`);
  return isSubset(selector.matchLabels ?? {}, labels);
}

function isSubset(part: Labels, whole: Labels): boolean {
  return Object.entries(part).every(([key, value]) => whole[key] === value);
}

function isIn(address: string, cidr: string): boolean {
  const [network = "", bits] = cidr.split("/");
  if (!isIPv4(network)) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(bits));
  return list.check(address);
}
