/** A browser for tests that need no more of it than its one cookie. Redirects are not followed. */
export class CookieClient {
  /** The token in `__Host-sid`. */
  cookie: string | undefined;
  readonly #origin: string;

  /** @param origin of the site, without a slash at its end */
  constructor(origin: string) {
    this.#origin = origin;
  }

  async open(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.cookie !== undefined) headers.set("Cookie", `__Host-sid=${this.cookie}`);
    const response = await fetch(this.#origin + path, { redirect: "manual", ...init, headers });
    for (const set of response.headers.getSetCookie()) {
      if (!set.startsWith("__Host-sid=")) continue;
      this.cookie = /Max-Age=0/.test(set) ? undefined : /^__Host-sid=([^;]+)/.exec(set)?.[1];
    }
    return response;
  }

  /** Sends a form of a page of this site. */
  submit(path: string, fields: Readonly<Record<string, string>>): Promise<Response> {
    const body = new URLSearchParams(fields);
    return this.open(path, { method: "POST", body, headers: { Origin: this.#origin } });
  }
}
