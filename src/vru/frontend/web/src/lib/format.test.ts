import { expect, it } from "vitest";
import { formatBytes, formatDuration, formatMediaTime, humanise, plural } from "./format";

it("formatMediaTime keeps milliseconds and carries over", () => {
  expect(formatMediaTime(0)).toBe("0:00.000");
  expect(formatMediaTime(22.7)).toBe("0:22.700");
  expect(formatMediaTime(59.9996)).toBe("1:00.000");
  expect(formatMediaTime(3725.5)).toBe("1:02:05.500");
});

it("formatDuration chooses its unit", () => {
  expect(formatDuration(0.85)).toBe("850 ms");
  expect(formatDuration(12.34)).toBe("12.3 s");
  expect(formatDuration(59.99)).toBe("1 min");
  expect(formatDuration(139.4)).toBe("2 min 19 s");
  expect(formatDuration(3840)).toBe("1 h 4 min");
  expect(formatDuration(7199)).toBe("2 h");
});

it("formatBytes uses decimal units", () => {
  expect(formatBytes(999)).toBe("999 B");
  expect(formatBytes(1500)).toBe("1.5 KB");
  expect(formatBytes(500_000_000)).toBe("500 MB");
});

it("humanise and plural read like words", () => {
  expect(humanise("wheelchair_user")).toBe("Wheelchair user");
  expect(plural(1, "track")).toBe("1 track");
  expect(plural(1200, "box", "boxes")).toBe("1,200 boxes");
});
