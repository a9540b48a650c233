import { describe, expect, it } from "vitest";
import {
  clampFrame,
  frameAt,
  isEvaluated,
  nearestFrame,
  nextTarget,
  nextTry,
  previousTarget,
  type Seek,
  seekTime,
  seekTo,
} from "./frames";

const steady = Array.from({ length: 300 }, (_, index) => index / 30);
const uneven = [0, 0.04, 0.05, 0.3, 0.31, 1.5];

describe("frameAt", () => {
  it("finds each frame at its own time, also when the browser rounds it down", () => {
    for (const times of [steady, uneven]) {
      times.forEach((time, index) => {
        expect(frameAt(times, time)).toBe(index);
        expect(frameAt(times, Math.floor(time * 1000) / 1000)).toBe(index);
      });
    }
  });
  it("holds a frame until the next begins", () => {
    expect(frameAt(uneven, 0.2)).toBe(2);
    expect(frameAt(uneven, 1.4)).toBe(4);
    expect(frameAt(uneven, 99)).toBe(5);
  });
  it("is the first frame before the first frame's time, and for no frames at all", () => {
    expect(frameAt([2, 3], 0)).toBe(0);
    expect(frameAt([], 1)).toBe(0);
  });
});

describe("seekTime", () => {
  it("lands inside the frame it is meant for", () => {
    for (const times of [steady, uneven]) {
      times.forEach((_, index) => {
        expect(frameAt(times, seekTime(times, index))).toBe(index);
      });
    }
  });
  it("does not fail on a single frame", () => {
    expect(seekTime([0.5], 0)).toBe(0.5);
  });
});

describe("nearestFrame", () => {
  it("chooses the nearer neighbour", () => {
    expect(nearestFrame(uneven, 0.29)).toBe(3);
    expect(nearestFrame(uneven, 0.06)).toBe(2);
  });
});

describe("targets", () => {
  it("go strictly forward and back", () => {
    expect(nextTarget([10, 20, 30], 20)).toBe(30);
    expect(previousTarget([10, 20, 30], 20)).toBe(10);
    expect(nextTarget([10], 10)).toBeUndefined();
    expect(previousTarget([], 10)).toBeUndefined();
  });
});

it("clampFrame keeps to the video", () => {
  expect(clampFrame(uneven, -3)).toBe(0);
  expect(clampFrame(uneven, 99)).toBe(5);
});

it("isEvaluated counts from frame 0", () => {
  expect([0, 1, 2, 3, 4].map((index) => isEvaluated(index, 2))).toEqual([true, false, true, false, true]);
  expect(isEvaluated(7, 1)).toBe(true);
});

describe("a seek that showed another frame", () => {
  const times = [0, 0.016, 0.049, 0.169, 0.289, 0.409, 0.417, 0.425, 0.64, 0.645, 0.9, 1];
  /** A player that takes each frame to last 33 ms: it shows the first that has not ended then. */
  const player = (at: number) => {
    const begun = times.filter((time) => time <= at).length - 1;
    const lasting = times.findIndex((time) => time + 0.033 > at);
    return lasting < 0 ? begun : Math.min(begun, lasting);
  };

  it.each(times.map((_, frame) => frame))("is searched until frame %i is shown", (frame) => {
    let seek: Seek | undefined = seekTo(times, frame);
    while (seek && player(seek.at) !== frame) seek = nextTry(seek, player(seek.at), 1.033);
    expect(seek?.target).toBe(frame);
    expect(seek?.tries).toBeLessThan(12);
  });

  it("ends where no time shows it", () => {
    let seek: Seek | undefined = seekTo(times, 6);
    let tries = 0;
    for (; seek; tries++) seek = nextTry(seek, 5, 1.033);
    expect(tries).toBeLessThan(30);
  });
});
