import * as v from "valibot";
import { MAX_RESOURCE_BYTES, MAX_USER_BYTES } from "../../protocol/service-packets.ts";

/** Grants of one session: with the longest resources 32 KiB, half of a JSON body. */
const MAX_GRANTS = 64;

const utf8 = new TextEncoder();

/** An int32 other than 0. */
export const Sessid = v.pipe(
  v.number("allowed is a whole number"),
  v.integer("allowed is a whole number"),
  v.minValue(-(2 ** 31), "allowed is -2147483648..2147483647"),
  v.maxValue(2 ** 31 - 1, "allowed is -2147483648..2147483647"),
  v.notValue(0, "0 is never a session"),
  v.metadata({ description: "Session number, an int32 other than 0" }),
);

/** A sessid in a path. */
export const SessidText = v.pipe(
  v.string(),
  v.regex(/^-?[0-9]{1,10}$/, "allowed is a whole number"),
  v.transform(Number),
  Sessid,
);

/** The owner of a session. */
export const User = v.pipe(
  wireText(MAX_USER_BYTES),
  v.metadata({ description: `User, 1..${MAX_USER_BYTES} bytes of UTF-8 without U+0000` }),
);

/** A resource, or all resources with a prefix. */
export const Grant = v.pipe(
  wireText(MAX_RESOURCE_BYTES),
  v.check((grant) => !grant.slice(0, -1).includes("*"), 'allowed is a resource, or a prefix that ends in "*"'),
  v.metadata({ description: 'Exact resource, or a prefix that ends in "*"' }),
);

/** What a session may enter. */
export const Grants = v.pipe(
  v.array(Grant, "allowed is a list of texts"),
  v.maxLength(MAX_GRANTS, `allowed are ${MAX_GRANTS} grants or fewer`),
);

/** A time. */
export const EpochMs = v.pipe(v.number(), v.integer(), v.metadata({ description: "Epoch milliseconds" }));

/** A text that a packet can carry too, so that HTTP and TCP have the same users and resources. */
function wireText(maxBytes: number) {
  const allowed = `allowed are 1..${maxBytes} bytes of UTF-8 without U+0000`;
  return v.pipe(
    v.string(allowed),
    v.minLength(1, allowed),
    v.check((text) => text.isWellFormed() && !text.includes("\0") && utf8.encode(text).length <= maxBytes, allowed),
  );
}
