import { describe } from "vitest";
import type { StoreHarness } from "../store-harness.ts";
import { accessBehaviour } from "./access-behaviour.ts";
import { batchBehaviour } from "./batch-behaviour.ts";
import { countBehaviour } from "./count-behaviour.ts";
import { endAllBehaviour } from "./end-all-behaviour.ts";
import { issueBehaviour } from "./issue-behaviour.ts";
import { keepBehaviour } from "./keep-behaviour.ts";
import { leaseBehaviour } from "./lease-behaviour.ts";
import { lifetimeBehaviour } from "./lifetime-behaviour.ts";
import { logBehaviour } from "./log-behaviour.ts";
import { logModelBehaviour } from "./log-model-behaviour.ts";
import { logPositionBehaviour } from "./log-position-behaviour.ts";
import { modelBehaviour } from "./model-behaviour.ts";
import { ownershipBehaviour } from "./ownership-behaviour.ts";
import { registerBatchBehaviour } from "./register-batch-behaviour.ts";
import { renewalBehaviour } from "./renewal-behaviour.ts";
import { userCapBehaviour } from "./user-cap-behaviour.ts";
import { watchBehaviour } from "./watch-behaviour.ts";

/** What every SessionStore must do. The caller clears the harness before each test. */
export function conformanceSuite(harnessOf: () => StoreHarness): void {
  describe("lifetime", () => lifetimeBehaviour(harnessOf));
  describe("renewal", () => renewalBehaviour(harnessOf));
  describe("ownership", () => ownershipBehaviour(harnessOf));
  describe("sessions per user", () => userCapBehaviour(harnessOf));
  describe("count", () => countBehaviour(harnessOf));
  describe("batch", () => batchBehaviour(harnessOf));
  describe("registers of one batch", () => registerBatchBehaviour(harnessOf));
  describe("access", () => accessBehaviour(harnessOf));
  describe("issue", () => issueBehaviour(harnessOf));
  describe("the end of all sessions", () => endAllBehaviour(harnessOf));
  describe("the log", () => logBehaviour(harnessOf));
  describe("the log of random batches", () => logModelBehaviour(harnessOf));
  describe("a position in the log", () => logPositionBehaviour(harnessOf));
  describe("leases", () => leaseBehaviour(harnessOf));
  describe("a watch", () => watchBehaviour(harnessOf));
  describe("what a bridge may keep", () => keepBehaviour(harnessOf));
  describe("model", () => modelBehaviour(harnessOf));
}
