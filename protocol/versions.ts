/**
 * The versions of Artoria, each by the rules of https://semver.org. docs/upgrading.md says what each promises, and when it is raised.
 */

/** Of the programs and of the npm package, which are released together. `npm version` raises it. */
export const PACKAGE_VERSION = "0.2.0";

/**
 * Of the packets of game servers and players, of the batches between a bridge and an edge, and of leases (docs/wire-protocol.md).
 * Parts with the same major version work together. A part that tells no version speaks 1.0.0.
 */
export const WIRE_PROTOCOL_VERSION = "1.1.0";

/** Of the routes below `/v1` and of their JSON (docs/http-api.md). The major version is the one in their path. */
export const HTTP_API_VERSION = "1.1.0";

/**
 * The header in which a bridge tells the edge its {@link PACKAGE_VERSION}: with each batch and with the upgrade of `/v1/leases`. The
 * hub sends a StatusRequest to no bridge without it.
 */
export const BRIDGE_HEADER = "X-Artoria-Bridge";

/** The header in which an edge tells a bridge its {@link PACKAGE_VERSION}, in the responses to the same requests. */
export const EDGE_HEADER = "X-Artoria-Edge";

/** The header in which both tell the {@link WIRE_PROTOCOL_VERSION} that the message with it is written in. */
export const PROTOCOL_HEADER = "X-Artoria-Protocol";

/** A version in {@link BRIDGE_HEADER} or {@link EDGE_HEADER}: the characters of https://semver.org, at most 64. */
export const PACKAGE_VERSION_PATTERN = /^[0-9A-Za-z.+-]{1,64}$/;

/** A version in {@link PROTOCOL_HEADER}. Nothing else is logged or shown. */
const PROTOCOL_VERSION_PATTERN = /^\d{1,4}\.\d{1,4}\.\d{1,4}$/;

/** What the other end speaks, by what it has told in {@link PROTOCOL_HEADER}: without a version there, {@link UNTOLD_PROTOCOL}. */
export function spokenProtocol(told: string | undefined): string {
  return told !== undefined && PROTOCOL_VERSION_PATTERN.test(told) ? told : UNTOLD_PROTOCOL;
}

/** Which of the two must be upgraded so that they work together, by the wire protocols that they speak; undefined: they do already. */
export function partToUpgrade({ bridge, edge }: Readonly<Record<Part, string>>): Part | undefined {
  const [bridgeMajor, edgeMajor] = [majorOf(bridge), majorOf(edge)];
  if (bridgeMajor === edgeMajor) return undefined;
  return bridgeMajor < edgeMajor ? "bridge" : "edge";
}

/** The ends of the wire protocol that tell each other their versions. */
export type Part = "bridge" | "edge";

/** What a part speaks that is too old to tell. */
const UNTOLD_PROTOCOL = "1.0.0";

function majorOf(version: string): number {
  return Number.parseInt(version, 10);
}
