import type { AppEnv } from "../app-env.ts";
import type { Visitor } from "./visitor.ts";

/** Hono's environment of the pages. */
export interface PageEnv extends AppEnv {
  Variables: AppEnv["Variables"] & { readonly visitor: Visitor };
}
