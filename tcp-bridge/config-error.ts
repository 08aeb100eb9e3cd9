/** A variable is missing or not allowed. The message names it and says what is allowed, never a secret's value. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ConfigError";
  }
}
