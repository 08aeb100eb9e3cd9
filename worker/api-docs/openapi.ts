import { toJsonSchema } from "@valibot/to-json-schema";
import type { GenericSchema } from "valibot";
import { PROBLEMS } from "../../protocol/problem-document.ts";
import { HTTP_API_VERSION } from "../../protocol/versions.ts";
import { Problem } from "../http/problem.ts";
import { API_OPERATIONS, type ApiOperation } from "./operations.ts";

const SECURITY = {
  service: [{ apiKey: [] }],
  client: [{ sessionToken: [] }, { sessionCookie: [] }],
  anyone: [],
} as const;

/** HTTP statuses of the problems that any caller of this kind may get, besides the operation's own problems. */
const CALLER_PROBLEMS = { service: [401, 429, 503], client: [401, 503], anyone: [] } as const;

/** `/openapi.json`: the OpenAPI 3.1 document of {@link API_OPERATIONS}, made of the schemas that the routes validate with. */
export function openApiDocument() {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const operation of API_OPERATIONS) {
    paths[operation.path] = { ...paths[operation.path], [operation.method]: describe(operation) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Artoria",
      version: HTTP_API_VERSION,
      description: "Tells, from the nearest edge, whether a session may enter.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    paths,
    components: {
      securitySchemes: {
        apiKey: { type: "http", scheme: "bearer", description: "A service's API key" },
        sessionToken: { type: "http", scheme: "bearer", description: "A client's session token, 27 characters" },
        sessionCookie: { type: "apiKey", in: "cookie", name: "__Host-sid" },
      },
      schemas: { Problem: jsonSchema(Problem, "output") },
    },
  };
}

function describe({ caller, summary, parameters, body, responses, problems = [], method, path }: ApiOperation) {
  const successful = Object.entries(responses).map(([status, [description, responseBody]]) => [
    status,
    { description, ...(responseBody && { content: content(responseBody, "output") }) },
  ]);
  const refusals = [...new Set<number>([...problems, ...CALLER_PROBLEMS[caller]])].map((status) => [
    String(status),
    {
      description: Object.values(PROBLEMS).find((entry) => entry.status === status)?.title,
      content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
    },
  ]);
  return {
    operationId: operationId(method, path),
    summary,
    tags: [caller],
    security: SECURITY[caller],
    ...(parameters.length > 0 && {
      parameters: parameters.map((parameter) => ({ ...parameter, schema: { type: "string" } })),
    }),
    ...(body && { requestBody: { required: true, content: content(body, "input") } }),
    responses: Object.fromEntries([...successful, ...refusals]),
  };
}

function content(body: GenericSchema | "packets", side: "input" | "output") {
  if (body === "packets") return { "application/octet-stream": { schema: { type: "string", format: "binary" } } };
  return { "application/json": { schema: jsonSchema(body, side) } };
}

function jsonSchema(schema: GenericSchema, side: "input" | "output") {
  // JSON Schema cannot express a check by function: its rule stands in the description.
  const { $schema: _, ...described } = toJsonSchema(schema, { typeMode: side, errorMode: "ignore" });
  return described;
}

function operationId(method: string, path: string): string {
  const words = path
    .replaceAll(/[{}]/g, "")
    .split(/[/.]/)
    .filter((word) => word !== "" && word !== "v1");
  return method + words.map((word) => word[0]?.toUpperCase() + word.slice(1)).join("");
}
