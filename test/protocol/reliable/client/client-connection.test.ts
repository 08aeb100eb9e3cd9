import { describe, expect, it } from "vitest";
import {
  type ClientState,
  nextState,
  type StateInput,
} from "../../../../protocol/reliable/client/client-connection.ts";

const STATES: ClientState[] = ["None", "Connecting", "Handshaking", "Connected", "Restore", "Standby", "Established"];
const INPUTS: StateInput[] = ["dial", "connected", "opened", "join", "joined", "ack", "lost"];

/** Every change there is; what is not here is refused. */
const CHANGES = new Map([
  ["None dial", "Connecting"],
  ["Connecting connected", "Handshaking"],
  ["Connecting opened", "Connected"],
  ["Handshaking opened", "Connected"],
  ["Connected join", "Restore"],
  ["Restore joined", "Standby"],
  ["Standby ack", "Established"],
  ["Established ack", "Established"],
  ...STATES.filter((state) => state !== "None").map((state) => [`${state} lost`, "None"] as const),
]);

describe("the transition table", () => {
  it.each(STATES.flatMap((state) => INPUTS.map((input) => ({ state, input }))))(
    "$state, $input",
    ({ state, input }) => {
      expect(nextState(state, input)).toBe(CHANGES.get(`${state} ${input}`));
    },
  );
});
