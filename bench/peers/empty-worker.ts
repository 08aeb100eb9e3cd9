import { Hono } from "hono";

/** The least that a Hono route in workerd can do: the floor of each of our responses. */
const app = new Hono();
app.get("/", (c) => c.body(null, 200));

export default app;
