import { registerHooks } from "node:module";

/*
 * Loaded by Node before a bridge (`--import`), it breaks one rule: the bridge answers from memory while it is connected to its
 * hub, whether or not a lease runs. A history must show that.
 */

const MODULE = /\/protocol\/leases\/leased-sessions\.ts$/;
const RULE = "nowMs < this.#leaseUntilMs";
const BROKEN_RULE = "this.#connection?.isJoined === true";

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!MODULE.test(url)) return loaded;
    const source = String(loaded.source);
    if (!source.includes(RULE)) throw new Error(`${url} does not have the rule any more: ${RULE}`);
    return { ...loaded, source: source.replaceAll(RULE, BROKEN_RULE) };
  },
});
