import { describe, expect, it } from "vitest";
import { app } from "../../../worker/app.ts";
import { assets } from "../../../worker/browser/assets.ts";
import { pages } from "../../../worker/browser/pages.tsx";
import { ask, problemOf } from "./edge-client.ts";

interface OpenApi {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, { responses: Record<string, unknown>; requestBody?: unknown }>>;
}

describe("open routes", () => {
  it.each(["/healthz", "/readyz"])("include %s", async (path) => {
    expect(await (await ask(path)).json()).toEqual({ status: "ok" });
  });

  it("describe every route of the worker, and no other", async () => {
    const { openapi, paths } = await (await ask("/openapi.json")).json<OpenApi>();
    expect(openapi).toBe("3.1.0");
    const described = Object.entries(paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method} ${path}`),
    );
    const unlistedPaths = new Set([...pages.routes, ...assets.routes].map(({ path }) => path));
    const served = app.routes
      .filter(({ path }) => !unlistedPaths.has(path))
      .filter(({ path, method }) => method !== "ALL" || path === "/v1/check")
      .map(({ path, method }) => `${method === "ALL" ? "get" : method.toLowerCase()} ${path}`)
      .map((route) => route.replaceAll(/:(\w+)/g, "{$1}"));
    expect(new Set(described)).toEqual(new Set(served));
  });

  it("describe the body of a registration by the schema that validates it", async () => {
    const { paths } = await (await ask("/openapi.json")).json<OpenApi>();
    expect(paths["/v1/sessions"]?.["post"]?.requestBody).toMatchObject({
      content: {
        "application/json": {
          schema: {
            type: "object",
            required: ["user"],
            additionalProperties: false,
            properties: { sessid: { type: "integer", minimum: -(2 ** 31), maximum: 2 ** 31 - 1 } },
          },
        },
      },
    });
  });

  it("show the same as a page without a script", async () => {
    const response = await ask("/docs");
    const page = await response.text();
    expect(page).toContain("/v1/users/{user}/sessions");
    expect(page).not.toContain("<script");
    expect(response.headers.get("Content-Type")).toMatch(/^text\/html/);
    expect(response.headers.get("Content-Security-Policy")).toContain("style-src 'self'");
    const [, stylesheet = ""] = /<link rel="stylesheet" href="([^"]+)"/.exec(page) ?? [];
    expect((await ask(stylesheet)).headers.get("Content-Type")).toMatch(/^text\/css/);
  });

  it("respond to other paths with a problem and secure headers", async () => {
    const response = await ask("/nowhere");
    expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
    expect(response.headers.get("Content-Security-Policy")).toContain("default-src 'none'");
    expect(await problemOf(response)).toMatchObject({ status: 404, code: "not_found" });
  });
});
