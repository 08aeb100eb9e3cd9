import { Hono } from "hono";
import type { PageEnv } from "../page-env.ts";
import { HomePage } from "../pages/home-page.tsx";

/** `/`: the main page. */
export const home = new Hono<PageEnv>().get("/", (c) => c.html(<HomePage visitor={c.get("visitor")} />));
