declare module "vitest" {
  interface ProvidedContext {
    /** Where tests inside workerd reach test/support/redis/redis-control.ts. */
    readonly redisControlUrl: string;
  }
}

export type ProvidedKey = keyof import("vitest").ProvidedContext;
