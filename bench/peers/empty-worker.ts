import { Hono } from "hono";

/** The least that a Hono route in workerd can be: what every answer of ours costs at least. */
const app = new Hono();
app.get("/", (c) => c.body(null, 200));

export default app;
