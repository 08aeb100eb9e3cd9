import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium } from "playwright-core";

/** Debian's Chromium. No sandbox, because tests run as root in containers; nothing that looks for a network. */
const LAUNCH = {
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

/** Starts a Chromium whose contexts are different people's browsers. Throws if Debian's chromium is not installed. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch(LAUNCH);
}

/** A Chromium whose profile outlives the process: a person's browser that is closed and opened again. */
export class PersistentChromium {
  readonly #profile: string;
  #context: BrowserContext | undefined;

  private constructor(profile: string) {
    this.#profile = profile;
  }

  static async create(): Promise<PersistentChromium> {
    return new PersistentChromium(await mkdtemp(join(tmpdir(), "artoria-chromium-")));
  }

  /** Starts the process. Throws if Debian's chromium is not installed. */
  async open(): Promise<BrowserContext> {
    this.#context = await chromium.launchPersistentContext(this.#profile, LAUNCH);
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
