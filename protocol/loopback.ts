/** What nobody guesses: 32 characters of base64 are 192 bits. Shorter keys are for one machine (docs/configuration.md). */
export const MIN_KEY_CHARACTERS = 32;

/** For the messages that refuse a shorter key. */
export const HOW_TO_MAKE_A_KEY = '"openssl rand -base64 32" makes one';

/**
 * Whether a host reaches nothing but this machine: `localhost`, 127.0.0.0/8, `::1` with or without brackets, or one of
 * them as IPv4-mapped IPv6. A name that only resolves to such an address is none: another resolver may disagree.
 */
export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, "$1");
  if (name === "localhost" || name === "::1" || name === "0:0:0:0:0:0:0:1") return true;
  // A URL writes the octets of ::ffff:127.0.0.1 in hexadecimal.
  if (/^::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}$/.test(name)) return true;
  const octets = /^(?:::ffff:)?127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(name)?.slice(1);
  return octets?.every((octet) => Number(octet) <= 255) === true;
}
