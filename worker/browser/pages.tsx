import { type Context, Hono, type MiddlewareHandler } from "hono";
import { secureHeaders } from "hono/secure-headers";
import { provideStore } from "../app-env.ts";
import { addressKey, clientAddress } from "../http/client-address.ts";
import { isSameOrigin } from "../http/client-credential.ts";
import { isForm } from "../http/form-body.ts";
import { openIsolate } from "../isolate.ts";
import { logFault } from "../log-fault.ts";
import { operatorConsole } from "./console.ts";
import { account } from "./pages/account.tsx";
import { HomePage } from "./pages/home.tsx";
import { login, logout } from "./pages/login.tsx";
import { refusePage } from "./pages/refuse-page.tsx";
import { room } from "./pages/room.tsx";
import { signup } from "./pages/signup.tsx";
import { isRead, loadVisitor, type PageEnv } from "./visitor.ts";

/** A page loads its stylesheet, icon and scripts from this host and sends its forms there, and nothing else. */
const pageSecurity = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    styleSrc: ["'self'"],
    imgSrc: ["'self'"],
    scriptSrc: ["'self'"],
    connectSrc: ["'self'"],
    formAction: ["'self'"],
    baseUri: ["'none'"],
    frameAncestors: ["'none'"],
  },
  xFrameOptions: "DENY",
  // With "no-referrer" the Origin of every form would be "null", and a forged one would look the same.
  referrerPolicy: "same-origin",
});

/** Two text fields and a return address take less than 8 KiB. A form that is a little longer still gets a page as refusal. */
const MAX_FORM_BYTES = 64 * 1024;

/** The pages for browsers. */
export const pages = new Hono<PageEnv>();

pages.onError((error, c) => {
  logFault("page failed", error);
  c.header("Cache-Control", "no-store");
  // The lookup of the visitor may be what failed.
  c.set("visitor", { kind: "unknown", maySignUp: false });
  return refusePage(c, "unavailable", "Not now", "The server could not do this at the moment. Try again soon.");
});

for (const path of ["/", "/login", "/signup", "/logout", "/me/*", "/rooms/*"]) {
  pages.use(path, pageSecurity, keepPrivate(), provideStore(), loadVisitor(), refuseForgery(), receiveForm());
}
pages.use("/console/*", pageSecurity, keepPrivate(), provideStore(), loadVisitor(), refuseForgery());
pages.get("/", (c) => c.html(<HomePage visitor={c.get("visitor")} />));
pages.route("/login", login);
pages.route("/signup", signup);
pages.route("/logout", logout);
pages.route("/me", account);
pages.route("/rooms", room);
pages.route("/console", operatorConsole);

/** A page is private: no shared cache keeps it, and the back button does not show it after a logout. */
function keepPrivate(): MiddlewareHandler<PageEnv> {
  return async function keepPrivate(c, next) {
    await next();
    c.header("Cache-Control", "no-store");
  };
}

/** Against cross-site request forgery: a request that changes something must come from a page of this host. */
function refuseForgery(): MiddlewareHandler<PageEnv> {
  return async function refuseForgery(c, next) {
    if (isRead(c) || isSameOrigin(c)) return next();
    return refusePage(c, "denied", "Refused", "Origin: only a page of this site may send this form.");
  };
}

/**
 * Receives the form of a request within the bounds of http/form-body.ts, and refuses a body that is no form. After it
 * `c.req.parseBody()` does not fail.
 */
function receiveForm(): MiddlewareHandler<PageEnv> {
  return async function receiveForm(c, next) {
    const { body, method } = c.req.raw;
    if (body === null || method === "GET" || method === "HEAD") return next();
    if (Number(c.req.header("Content-Length") ?? 0) > MAX_FORM_BYTES) return refuseSize(c);
    const { intake, config } = openIsolate(c.env);
    const address = await addressKey(clientAddress(c, config));
    const received = await intake.receive(body, MAX_FORM_BYTES, address);
    if (received.kind === "tooLarge") return refuseSize(c);
    if (received.kind === "tooSlow") {
      return refusePage(c, "too_slow", "Too slow", "The form did not arrive in time. Send it again.");
    }
    c.req.raw = new Request(c.req.raw, { body: received.bytes });
    return received.bytes.byteLength === 0 || (await isForm(c)) ? next() : refuseForm(c);
  };
}

function refuseSize(c: Context<PageEnv>): Response | Promise<Response> {
  return refusePage(c, "too_large", "Too large", `Allowed are ${MAX_FORM_BYTES} bytes.`);
}

function refuseForm(c: Context<PageEnv>): Response | Promise<Response> {
  return refusePage(
    c,
    "invalid",
    "Not a form",
    "body: allowed is a form, application/x-www-form-urlencoded or multipart/form-data",
  );
}
