/** The shortest key that is accepted beyond loopback (docs/configuration.md): 32 characters of base64 are 192 bits. */
export const MIN_KEY_CHARACTERS = 32;

/** Appended to the messages that refuse a shorter key. */
export const HOW_TO_MAKE_A_KEY = '"openssl rand -base64 32" makes one';

/**
 * Whether a host is this machine: `localhost`, 127.0.0.0/8, `::1` with or without brackets, or one of these addresses as
 * IPv4-mapped IPv6. Other names are not resolved: two resolvers may disagree on them.
 */
export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, "$1");
  if (name === "localhost" || name === "::1" || name === "0:0:0:0:0:0:0:1") return true;
  // A URL writes the octets of ::ffff:127.0.0.1 in hexadecimal.
  if (/^::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}$/.test(name)) return true;
  const octets = /^(?:::ffff:)?127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(name)?.slice(1);
  return octets?.every((octet) => Number(octet) <= 255) === true;
}
