import { expect, it } from "vitest";
import type { CriterionResult, Verdict } from "@/api/types";
import { defaultCriterion } from "./metrics";
import { isFinal, pace, runActions, runMeaning, verdictSummary } from "./runs";

function result(verdict: Verdict, severity: "required" | "advisory" = "required"): CriterionResult {
  const measurement = {
    metric: "recall",
    value: 0.5,
    low: 0.4,
    high: 0.6,
    n: 6,
    unit: "",
    confidence_level: 0.95,
    slice: "all",
  };
  return {
    criterion: { ...defaultCriterion("recall"), severity },
    measurement,
    verdict,
    reason: "",
    more_needed: null,
  };
}

it("verdictSummary counts required criteria only", () => {
  const run = {
    verdict: "FAIL" as const,
    verdict_reasons: [result("FAIL"), result("PASS"), result("FAIL", "advisory")],
  };
  expect(verdictSummary(run)).toBe("1 of 2 required criteria is not met.");
});

it("verdictSummary names what is undecided", () => {
  expect(verdictSummary({ verdict: "INCONCLUSIVE", verdict_reasons: [result("INCONCLUSIVE")] })).toBe(
    "1 of 1 required criterion cannot be decided with this much evidence.",
  );
  expect(verdictSummary({ verdict: "FAIL", verdict_reasons: [result("FAIL"), result("INCONCLUSIVE")] })).toBe(
    "1 of 2 required criteria is not met; 1 more cannot be decided with this much evidence.",
  );
});

it("verdictSummary says why a run that meets everything is inconclusive", () => {
  const clip = { number: 3, first_frame: 30, last_frame: 39, first_s: 3, last_s: 3.9, reason: "damaged" };
  const run = { verdict: "INCONCLUSIVE" as const, verdict_reasons: [result("PASS")], set_aside: [clip] };
  expect(verdictSummary(run)).toContain("part of the video could not be processed");
});

it("runActions offers what the server would not refuse", () => {
  const names = (state: Parameters<typeof runActions>[0]["state"], paused_at: string | null = null) =>
    runActions({ state, paused_at }).names;
  expect(names("running")).toEqual(["pause", "cancel"]);
  expect(names("running", "2026-01-01T00:00:00Z")).toEqual(["resume", "cancel"]);
  expect(names("analysing")).toEqual(["cancel"]);
  expect(names("failed")).toEqual(["retry"]);
  expect(names("completed")).toEqual([]);
});

it("runMeaning says that a run is paused", () => {
  expect(runMeaning({ kind: "model", state: "running", paused_at: "2026-01-01T00:00:00Z" })).toContain(
    "Paused",
  );
  expect(runMeaning({ kind: "model", state: "running", paused_at: null })).not.toContain("Paused");
});

it("runMeaning speaks of signals where there is no model", () => {
  expect(runMeaning({ kind: "camera", state: "analysing", paused_at: null })).toContain("signals");
  expect(runMeaning({ kind: "camera", state: "queued", paused_at: null })).toBe("Waiting for a worker.");
});

it("pace needs movement", () => {
  expect(pace({ at: 0, done: 5 }, { at: 4000, done: 5, total: 10 })).toBeNull();
  expect(pace({ at: 0, done: 0 }, { at: 1500, done: 5, total: 10 })).toBeNull();
  expect(pace({ at: 0, done: 0 }, { at: 2000, done: 20, total: 60 })).toEqual({
    perSecond: 10,
    secondsLeft: 4,
  });
});

it("isFinal", () => {
  expect(isFinal("analysing")).toBe(false);
  expect(isFinal("cancelled")).toBe(true);
});
