import { expect, it } from "vitest";
import { clockJoin, signalsOfNobody, timingBudget, withUncertainty } from "./timing";

const clocks = {
  offset_ms: 50_000,
  offset_uncertainty_ms: 0.5,
  drift_ppm: 40,
  drift_uncertainty_ppm: 80,
  jitter_ms: 1,
  frame_ms: 28.9,
  poll_ms: 1.2,
  expanded_ms: 1.3,
  markers: 12,
  outliers: 0,
};

it("withUncertainty keeps one precision for both, and says nothing that is not known", () => {
  expect(withUncertainty(74.16, 28.91, "ms", 0)).toBe("74 ± 29 ms");
  expect(withUncertainty(74.16, null, "ms", 1)).toBe("74.2 ms");
  expect(withUncertainty(null, 28.91, "ms", 0)).toBe("–");
});

it("timingBudget puts the largest part first, and leaves out what an offset that was given does not have", () => {
  expect(timingBudget(clocks).map(({ ms }) => ms)).toEqual([28.9, 1.2, 1, 0.5]);
  expect(timingBudget({ ...clocks, jitter_ms: null }).map(({ ms }) => ms)).toEqual([28.9, 1.2, 0.5]);
});

it("signalsOfNobody mixes the kinds by time", () => {
  const list = (...seconds: number[]) => ({
    count: seconds.length,
    first: seconds.map((media_s) => ({ time_ns: media_s * 1e9, media_s, road_user: null })),
  });
  const found = signalsOfNobody({ false_alarms: list(3, 9), early: list(1), duplicates: list(2) });
  expect(found.map(({ kind, media_s }) => [kind, media_s])).toEqual([
    ["Early", 1],
    ["Duplicate", 2],
    ["False alarm", 3],
    ["False alarm", 9],
  ]);
});

it("clockJoin knows markers, an offset of 0, and nothing", () => {
  expect(clockJoin({ marker_count: 12, offset_ns: null })).toBe("Joined by 12 markers");
  expect(clockJoin({ marker_count: null, offset_ns: 0 })).toBe("Joined by an offset");
  expect(clockJoin({ marker_count: null, offset_ns: null })).toBeNull();
});
