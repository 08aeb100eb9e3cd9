import { secureHeaders } from "hono/secure-headers";

/**
 * The headers of a page: it loads its stylesheet, icon and scripts from this host and sends its forms there, nothing else;
 * what it shows is private to its reader.
 */
export const pageSecurity = secureHeaders({
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
  // With "no-referrer" a form's Origin would be "null", and no login could be told from a forged one.
  referrerPolicy: "same-origin",
});
