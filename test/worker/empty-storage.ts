import { reset } from "cloudflare:test";

// All files run in one workerd: each begins with empty Durable Objects and an empty database.
await reset();
