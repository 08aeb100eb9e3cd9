import { Hono, type MiddlewareHandler } from "hono";
import { openStore } from "../http/open-store.ts";
import { isSameOrigin } from "../http/same-origin.ts";
import { logFault } from "../log-fault.ts";
import { assets } from "./assets.ts";
import { pageSecurity } from "./page-security.ts";
import { HomePage } from "./pages/home-page.tsx";
import { ASSETS_PATH } from "./pages/layout.tsx";
import { receiveForm } from "./receive-form.ts";
import { refusePage } from "./refuse-page.tsx";
import { login } from "./routes/login.tsx";
import { logout } from "./routes/logout.ts";
import { me } from "./routes/me.tsx";
import { room } from "./routes/room.tsx";
import { signup } from "./routes/signup.tsx";
import { knowVisitor, type PageEnv } from "./visitor.ts";

/** The pages for browsers. */
export const pages = new Hono<PageEnv>();

pages.onError((error, c) => {
  logFault("page failed", error);
  c.header("Cache-Control", "no-store");
  // Who it is may be what could not be found out.
  c.set("visitor", { kind: "unknown", maySignUp: false });
  return refusePage(c, "unavailable", "Not now", "The server could not do this at the moment. Try again soon.");
});

for (const path of ["/", "/login", "/signup", "/logout", "/me/*", "/rooms/*"]) {
  pages.use(path, pageSecurity, keepPrivate(), openStore(), knowVisitor(), refuseForgery(), receiveForm());
}
pages.get("/", (c) => c.html(<HomePage visitor={c.get("visitor")} />));
pages.route("/login", login);
pages.route("/signup", signup);
pages.route("/logout", logout);
pages.route("/me", me);
pages.route("/rooms", room);
pages.route(ASSETS_PATH, assets);

/** A page is its reader's: neither a shared cache nor the back button after a logout shows it. */
function keepPrivate(): MiddlewareHandler<PageEnv> {
  return async function keepPrivate(c, next) {
    await next();
    c.header("Cache-Control", "no-store");
  };
}

/** Cross-site request forgery: what changes anything comes from a page of this host. */
function refuseForgery(): MiddlewareHandler<PageEnv> {
  return async function refuseForgery(c, next) {
    if (["GET", "HEAD", "OPTIONS"].includes(c.req.method) || isSameOrigin(c)) return next();
    return refusePage(c, "denied", "Refused", "Origin: only a page of this site may send this form.");
  };
}
