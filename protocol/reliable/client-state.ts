/**
 * The states of a connection to a room, and all their changes. A client may have two at once: the one that the room has
 * accepted, and one that is to replace it.
 *
 *   None --dial--> Connecting --connected--> Handshaking --opened--> Connected --join--> Restore
 *                       \---------------------opened----------------/                       |
 *                                                                                         joined
 *                            Established <--ack-- Standby <----------------------------------/
 *
 * and from every state `lost` leads back to None. Where the runtime does TCP and TLS in one step (WebSocket), `opened`
 * comes without `connected`.
 *
 * - None: no connection; before the first dial, between dials, after the end.
 * - Connecting: TCP is being connected.
 * - Handshaking: the keys are being exchanged.
 * - Connected: bytes may go; Join is the first packet.
 * - Restore: Join is out; waiting for the room's position.
 * - Standby: the positions are known; both sides send what the other has not got, and new messages may go.
 * - Established: the room's first Ack ended its replay; the session is as if it had never been interrupted.
 */
export type ClientState = "None" | "Connecting" | "Handshaking" | "Connected" | "Restore" | "Standby" | "Established";

/** What changes a state. */
export type StateInput = "dial" | "connected" | "opened" | "join" | "joined" | "ack" | "lost";

const TRANSITIONS: Readonly<Record<ClientState, Partial<Record<StateInput, ClientState>>>> = {
  None: { dial: "Connecting" },
  Connecting: { connected: "Handshaking", opened: "Connected", lost: "None" },
  Handshaking: { opened: "Connected", lost: "None" },
  Connected: { join: "Restore", lost: "None" },
  Restore: { joined: "Standby", lost: "None" },
  Standby: { ack: "Established", lost: "None" },
  Established: { ack: "Established", lost: "None" },
};

/**
 * The state after `input`, undefined if the table has none: then the input does not belong there.
 */
export function nextState(state: ClientState, input: StateInput): ClientState | undefined {
  return TRANSITIONS[state][input];
}
