import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { until } from "../until.ts";

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

export const PHONE = { width: 360, height: 844 };
export const DESKTOP = { width: 1280, height: 800 };

/** Somebody who has a chat page open, with a cookie jar of their own. */
export class ChatBrowser {
  readonly context: BrowserContext;
  readonly page: Page;
  /** What the browser complained about: broken scripts, and what the page's policy has kept out. */
  readonly complaints: string[] = [];

  private constructor(context: BrowserContext, page: Page) {
    this.context = context;
    this.page = page;
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.on("console", (message) => {
      // A refused connection is no fault of the page.
      if (message.type() === "error" && !message.text().includes("ERR_")) this.complaints.push(message.text());
    });
  }

  static async open(browser: Browser, viewport: { width: number; height: number }): Promise<ChatBrowser> {
    const context = await browser.newContext({ viewport, serviceWorkers: "block" });
    return new ChatBrowser(context, await context.newPage());
  }

  async enter(url: string): Promise<void> {
    await this.page.goto(url);
    await this.stateIs("Connected");
  }

  async stateIs(state: string): Promise<void> {
    await until(async () => (await this.page.locator("#state").textContent())?.trim() === state);
  }

  async say(text: string): Promise<void> {
    await this.page.getByLabel("Message", { exact: true }).fill(text);
    await this.page.getByRole("button", { name: "Send" }).click();
  }

  /** Into the folder that SCREENSHOT_DIR names, if it does: docs/screenshots/ are from there. */
  async keepScreenshot(name: string): Promise<void> {
    const folder = process.env["SCREENSHOT_DIR"];
    if (folder !== undefined) await this.page.screenshot({ path: `${folder}/${name}.png` });
  }

  /** What was said, in the page's order. */
  messages(): Promise<string[]> {
    return this.page.locator("#lines li > p").allTextContents();
  }

  async shows(line: RegExp): Promise<void> {
    await until(async () => (await this.lines()).some((text) => line.test(text)));
  }

  lines(): Promise<string[]> {
    return this.page.locator("#lines li").allTextContents();
  }

  members(): Promise<string[]> {
    return this.page.locator("#members li").allTextContents();
  }
}
