import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium } from "playwright-core";

/** Debian's Chromium. No sandbox, for tests run as root in containers; nothing that would look for a network. */
export const CHROMIUM_LAUNCH = {
  executablePath: "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
};

/** A Chromium with a profile of its own, which outlives the process: a person's browser that is closed and opened again. */
export class Chromium {
  readonly #profile: string;
  #context: BrowserContext | undefined;

  private constructor(profile: string) {
    this.#profile = profile;
  }

  static async create(): Promise<Chromium> {
    return new Chromium(await mkdtemp(join(tmpdir(), "artoria-chromium-")));
  }

  /** Starts the process. Throws if Debian's chromium is not installed. */
  async open(options: { readonly javaScriptEnabled?: boolean } = {}): Promise<BrowserContext> {
    this.#context = await chromium.launchPersistentContext(this.#profile, { ...CHROMIUM_LAUNCH, ...options });
    return this.#context;
  }

  /** Ends the process; the profile stays. */
  async close(): Promise<void> {
    await this.#context?.close();
    this.#context = undefined;
  }

  /** Ends the process and removes the profile. */
  async dispose(): Promise<void> {
    await this.close();
    await rm(this.#profile, { recursive: true, force: true });
  }
}
