import { expect, it } from "vitest";
import {
  defaultCriteria,
  formatInterval,
  formatMetric,
  formatThreshold,
  hasInterval,
  scaleOf,
  sliceName,
  worstSliceFirst,
} from "./metrics";

it("formatMetric gives each metric its precision and unit, and never a 0 for a missing figure", () => {
  expect(formatMetric("recall", 0.5)).toBe("0.500");
  expect(formatMetric("latency_median_ms", 512.4)).toBe("512 ms");
  expect(formatMetric("false_alarms_per_minute", 0)).toBe("0/min");
  expect(formatMetric("recall", null)).toBe("–");
  expect(formatMetric("recall", Number.NaN)).toBe("–");
});

it("formatInterval may be one-sided", () => {
  expect(formatInterval({ metric: "recall", low: 0.1, high: 0.9 })).toBe("0.100 to 0.900");
  expect(formatInterval({ metric: "latency_median_ms", low: 700, high: null })).toBe("700 ms or more");
  expect(formatInterval({ metric: "recall", low: null, high: null })).toBe("–");
});

it("what is counted has no interval, and none is drawn", () => {
  const counted = { metric: "duplicate_signals", low: 3, high: 3 };
  expect(formatInterval(counted)).toBe("–");
  expect(hasInterval(counted)).toBe(false);
  expect(hasInterval({ metric: "latency_jitter_ms", low: null, high: null })).toBe(false);
  expect(hasInterval({ metric: "latency_median_ms", low: 70, high: null })).toBe(true);
});

it("sliceName reads like words", () => {
  expect(sliceName("class:wheelchair_user")).toBe("Class: wheelchair user");
  expect(sliceName("all")).toBe("All");
});

it("formatThreshold shows what was set", () => {
  expect(formatThreshold({ metric: "recall", comparator: ">=", threshold: 0.95 })).toBe("≥ 0.95");
  expect(formatThreshold({ metric: "latency_p95_ms", comparator: "<=", threshold: 100 })).toBe("≤ 100 ms");
});

it("scaleOf holds all figures", () => {
  expect(scaleOf("recall", [0.2, null])).toEqual([0, 1]);
  const [low, high] = scaleOf("latency_p95_ms", [100, 4000, null, Number.POSITIVE_INFINITY]);
  expect(low).toBe(0);
  expect(high).toBeGreaterThan(4000);
  expect(scaleOf("false_alarms_per_minute", [0, 0])).toEqual([0, 1]);
});

it("defaultCriteria are complete", () => {
  expect(defaultCriteria()).toHaveLength(6);
  expect(defaultCriteria()[3]).toMatchObject({ comparator: "<=", threshold: 50, severity: "required" });
});

it("worstSliceFirst compares the slices by one figure, and puts those without it last", () => {
  const of = (slice: string, metric: string, value: number | null) => ({
    slice,
    metric,
    value,
    low: null,
    high: null,
    n: 12,
    unit: "",
    confidence_level: 0.95,
  });
  const whole = [of("all", "f1", null), of("all", "recall", 0.8)];
  const parts = [
    of("size:large", "recall", 0.9),
    of("size:small", "recall", null),
    of("class:cyclist", "f1", 0.2),
    of("size:large", "f1", null),
    of("class:cyclist", "recall", 0.4),
    of("class:cyclist", "precision", 0.1),
  ];
  expect(worstSliceFirst([...whole, ...parts]).map((item) => item.slice)).toEqual([
    "class:cyclist",
    "size:large",
    "size:small",
  ]);
  expect(worstSliceFirst(whole)).toEqual([]);
});
