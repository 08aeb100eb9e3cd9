// What `exports` of cloudflare:workers has: the worker's own entry points.
declare namespace Cloudflare {
  interface GlobalProps {
    mainModule: typeof import("../../worker/index.ts");
  }
}

declare module "*.md?raw" {
  const text: string;
  export default text;
}
