import type { Bindings } from "../app-env.ts";
import { addressKey, networkKey } from "../http/client-address.ts";
import type { LoginLimits } from "../settings.ts";
import { type GuardVerdict, type LoginGuard, TRY_WINDOW_MS, type TryBudget } from "./login-guard.ts";

/** Who tries a password, and where. */
export interface TryOrigin {
  readonly address: string | null;
  /** The device's id, if the account has logged in on it before (device-cookie.ts). */
  readonly device?: string | undefined;
}

/** Whether a password may be tried now; asked before it is hashed, so that guessing costs the server little. */
export type TryVerdict =
  | {
      readonly kind: "go";
      /** The try counts no more: the password was right, or was not compared. */
      takeBack(): Promise<void>;
      /** The try counts for the whole window: the password was wrong. */
      settle(): Promise<void>;
    }
  | { readonly kind: "wait"; readonly seconds: number };

/**
 * Begins a try at an account, existing or not. A device on which the account has logged in before has a budget of its own,
 * which nobody else can spend. All others share the account's, and those of one network and of one address.
 */
export async function beginLogin(
  bindings: Bindings,
  limits: LoginLimits,
  name: string,
  { address, device }: TryOrigin,
): Promise<TryVerdict> {
  const account = ["account", name];
  if (device !== undefined) {
    return begin(bindings, [[account, [{ key: keyOf("device", name, device), most: limits.triesPerDevice }]]]);
  }
  if (await isFlood(bindings, address)) return { kind: "wait", seconds: TRY_WINDOW_MS / 1000 };
  const [from, network] = [addressKey(address), networkKey(address)];
  return begin(bindings, [
    [["network", network], budgetsOf("failures", from, network, limits.failuresPerAddress, limits.failuresPerNetwork)],
    [
      account,
      [
        { key: keyOf("account", name), most: limits.triesPerAccount },
        { key: keyOf("account-from", name, network), most: limits.triesPerAccountFromNetwork },
      ],
    ],
  ]);
}

/** Begins a sign-up: it counts, also if it succeeds. */
export async function beginSignup(
  bindings: Bindings,
  limits: LoginLimits,
  address: string | null,
): Promise<TryVerdict> {
  if (await isFlood(bindings, address)) return { kind: "wait", seconds: TRY_WINDOW_MS / 1000 };
  const [from, network] = [addressKey(address), networkKey(address)];
  const verdict = await begin(bindings, [
    [["network", network], budgetsOf("signups", from, network, limits.signupsPerAddress, limits.signupsPerNetwork)],
  ]);
  if (verdict.kind === "go") await verdict.settle();
  return verdict;
}

/** What is counted by the runtime, near the client and roughly: it keeps a flood from the guards. */
async function isFlood({ LOGIN_ADDRESS_LIMIT }: Bindings, address: string | null): Promise<boolean> {
  return !(await LOGIN_ADDRESS_LIMIT.limit({ key: networkKey(address) })).success;
}

function budgetsOf(what: string, address: string, network: string, perAddress: number, perNetwork: number) {
  const ofAddress = { key: keyOf(what, address), most: perAddress };
  return address === network ? [ofAddress] : [ofAddress, { key: keyOf(what, network), most: perNetwork }];
}

function keyOf(...parts: readonly string[]): string {
  return JSON.stringify(parts);
}

/** Budgets, each list with what they are counted by. */
type Counted = readonly (readonly [by: readonly string[], budgets: readonly TryBudget[]])[];

/** Asks the guards one after the other, and takes back what was counted if one of them says to wait. */
async function begin({ LOGIN_GUARD }: Bindings, counted: Counted): Promise<TryVerdict> {
  const counts: { readonly guard: DurableObjectStub<LoginGuard>; readonly tries: readonly number[] }[] = [];
  const takeBack = async () => {
    await Promise.all(counts.map(({ guard, tries }) => guard.takeBack(tries)));
  };
  const settle = async () => {
    await Promise.all(counts.map(({ guard, tries }) => guard.settle(tries)));
  };
  for (const [by, budgets] of counted) {
    const guard = LOGIN_GUARD.getByName(await guardName(by));
    const verdict: GuardVerdict = await guard.begin(budgets);
    if (verdict.kind === "wait") {
      await takeBack();
      return verdict;
    }
    counts.push({ guard, tries: verdict.tries });
  }
  return { kind: "go", takeBack, settle };
}

/** Names that are made up make no more objects than these, and a crowd of logins wakes no more. */
const GUARDS = 16;

/** The name of the guard of a name or network. */
export async function guardName(by: readonly string[]): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(JSON.stringify(by)));
  return `tries-${(new Uint8Array(digest)[0] ?? 0) % GUARDS}`;
}
