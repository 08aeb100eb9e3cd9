import type { Ours } from "../ours/start-ours.ts";

const AT_ONCE = 20;

/** Issues so many sessions over HTTP and returns their tokens. */
export async function issueTokens({ edgePort, apiKey }: Ours, count: number): Promise<readonly string[]> {
  const tokens: string[] = [];
  while (tokens.length < count) {
    const part = Array.from({ length: Math.min(AT_ONCE, count - tokens.length) }, (_, index) =>
      issue(edgePort, apiKey, `user-${tokens.length + index}`),
    );
    tokens.push(...(await Promise.all(part)));
  }
  return tokens;
}

async function issue(edgePort: number, apiKey: string, user: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${edgePort}/v1/sessions`, {
    method: "POST",
    headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" },
    body: JSON.stringify({ user }),
  });
  if (response.status !== 201) throw new Error(`a session was refused with ${response.status}`);
  const { token } = (await response.json()) as { token: string };
  return token;
}
