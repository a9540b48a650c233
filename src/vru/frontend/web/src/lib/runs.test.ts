import { expect, it } from "vitest";
import type { CriterionResult, Verdict } from "@/api/types";
import { defaultCriterion } from "./metrics";
import { isFinal, pace, verdictSummary } from "./runs";

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
