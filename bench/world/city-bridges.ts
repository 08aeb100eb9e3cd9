import { fileURLToPath } from "node:url";
import { startBridge } from "../../tcp-bridge/bridge.ts";
import { parseBridgeConfig } from "../../tcp-bridge/config.ts";
import { NODE_OPTIONS } from "../ours/start-ours.ts";
import { startWorldProgram, type WorldProgram } from "./world-program.ts";

interface CityBridges {
  readonly apiKey: string;
  /** The port of the edge for each bridge. */
  readonly edgePorts: readonly number[];
}

/** Starts a bridge for each edge port; `ports` are their game-server ports. They share one process, as 40 would not fit here. */
export function startCityBridges(job: CityBridges): Promise<WorldProgram> {
  return startWorldProgram("bridges", fileURLToPath(import.meta.url), job, NODE_OPTIONS);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { apiKey, edgePorts } = JSON.parse(process.argv[2] ?? "{}") as CityBridges;
  const ports: number[] = [];
  for (const edgePort of edgePorts) {
    const bridge = await startBridge(
      parseBridgeConfig({
        EDGE_URL: `http://127.0.0.1:${edgePort}`,
        API_KEY: apiKey,
        BRIDGE_PORT: "0",
        METRICS_PORT: "0",
        LOG_LEVEL: "error",
      }),
    );
    ports.push(bridge.gameAddress.port);
  }
  process.on("disconnect", () => process.exit());
  process.send?.(ports);
}
