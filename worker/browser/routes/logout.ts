import { Hono } from "hono";
import { Status } from "../../../protocol/status-codes.ts";
import { cookieCredential } from "../../http/client-token.ts";
import { clearSessionCookie } from "../../http/session-cookie.ts";
import { runOne } from "../../session-store/run-one.ts";
import { refusePage } from "../refuse-page.tsx";
import type { PageEnv } from "../visitor.ts";

/** `/logout`: the session ends at the server, then the browser forgets it. */
export const logout = new Hono<PageEnv>()
  .get("/", (c) => c.redirect("/", 303))
  .post("/", async (c) => {
    const credential = await cookieCredential(c);
    if (credential !== undefined) {
      const { sessid, secretHash } = credential;
      const { status } = await runOne(c.get("store"), { kind: "delete", sessid, secretHash });
      if (status === Status.Unavailable) {
        return refusePage(c, "unavailable", "Still logged in", "You could not be logged out at the moment. Try again.");
      }
    }
    clearSessionCookie(c);
    return c.redirect("/", 303);
  });
