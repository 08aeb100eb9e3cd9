import type { Visitor } from "../visitor.ts";
import { Layout } from "./layout.tsx";

/** A page that says one thing: what was refused, and what to do about it. */
export function MessagePage({ visitor, title, text }: { visitor: Visitor; title: string; text: string }) {
  return (
    <Layout title={title} visitor={visitor}>
      <h1>{title}</h1>
      <p>{text}</p>
      <p>
        <a href="/">Go to the main page</a>
      </p>
    </Layout>
  );
}
