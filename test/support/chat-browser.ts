import type { Browser, BrowserContext, Page } from "playwright-core";
import { until } from "./until.ts";

export const PHONE = { width: 390, height: 844 };
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
