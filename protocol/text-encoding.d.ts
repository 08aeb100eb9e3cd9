/**
 * The two globals of the Encoding Standard that this folder uses. Every runtime it serves has them (workerd, Node,
 * browsers); declaring just these keeps timers, sockets and `Buffer` from compiling here.
 */
declare class TextEncoder {
	encode(input: string): Uint8Array<ArrayBuffer>;
}
declare class TextDecoder {
	constructor(label: "utf-8", options: { fatal: true; ignoreBOM: true });
	decode(input: Uint8Array): string;
}
