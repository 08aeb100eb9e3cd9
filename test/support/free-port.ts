/** The tests' name for it: many choose ports for programs that cannot. */
export { freePort } from "../../dev/free-port.ts";
