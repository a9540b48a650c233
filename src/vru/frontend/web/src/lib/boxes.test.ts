import { describe, expect, it } from "vitest";
import type { Detection, TruthBox } from "@/api/types";
import { groupByFrame, iou, isCovered, missStarts, trackLanes } from "./boxes";

function truth(frame_index: number, changes: Partial<TruthBox> = {}): TruthBox {
  const box = { x: 0, y: 0, width: 10, height: 20, occluded: false, truncated: false, ignore: false };
  return { track_id: 1, frame_index, time_s: frame_index / 10, road_user: "pedestrian", ...box, ...changes };
}

function detection(frame_index: number, changes: Partial<Detection> = {}): Detection {
  const box = { x: 0, y: 0, width: 10, height: 20, score: 0.9 };
  return { frame_index, time_s: frame_index / 10, road_user: "pedestrian", ...box, ...changes };
}

const all = { score: 0.5, overlap: 0.5, evaluated: () => true };

describe("iou", () => {
  it("is 1 for the same box, 0 for boxes that only touch, a third for half an overlap", () => {
    const box = { x: 0, y: 0, width: 10, height: 10 };
    expect(iou(box, box)).toBe(1);
    expect(iou(box, { ...box, x: 10 })).toBe(0);
    expect(iou(box, { ...box, x: 5 })).toBeCloseTo(1 / 3, 12);
  });
});

describe("isCovered", () => {
  it("asks for class, score and overlap", () => {
    expect(isCovered(truth(0), [detection(0)], 0.5, 0.5)).toBe(true);
    expect(isCovered(truth(0), [detection(0, { road_user: "cyclist" })], 0.5, 0.5)).toBe(false);
    expect(isCovered(truth(0), [detection(0, { score: 0.4 })], 0.5, 0.5)).toBe(false);
    expect(isCovered(truth(0), [detection(0, { x: 9 })], 0.5, 0.5)).toBe(false);
  });
});

describe("trackLanes", () => {
  it("cuts a track where cover begins, ends, or the road user is out of sight", () => {
    const boxes = [3, 4, 5, 6, 9].map((frame) => truth(frame));
    const lanes = trackLanes(boxes, groupByFrame([detection(5), detection(6), detection(9)]), all);
    expect(lanes).toHaveLength(1);
    expect(lanes[0]?.spans).toEqual([
      { first: 3, last: 4, state: "uncovered" },
      { first: 5, last: 6, state: "covered" },
      { first: 9, last: 9, state: "covered" },
    ]);
    expect(missStarts(lanes)).toEqual([3]);
  });
  it("leaves out frames that were not evaluated, and does not cut there", () => {
    const boxes = [0, 1, 2, 3, 4].map((frame) => truth(frame));
    const even = (frame: number) => frame % 2 === 0;
    const lanes = trackLanes(boxes, groupByFrame([]), { ...all, evaluated: even });
    expect(lanes[0]?.spans).toEqual([{ first: 0, last: 4, state: "uncovered" }]);
  });
  it("counts an ignored box as neither", () => {
    const lanes = trackLanes([truth(0, { ignore: true })], groupByFrame([]), all);
    expect(lanes[0]?.spans[0]?.state).toBe("ignored");
    expect(missStarts(lanes)).toEqual([]);
  });
  it("knows no cover without detections, and orders tracks by appearance", () => {
    const lanes = trackLanes([truth(8, { track_id: 1 }), truth(2, { track_id: 2 })], undefined, all);
    expect(lanes.map((lane) => [lane.trackId, lane.spans[0]?.state])).toEqual([
      [2, "truth"],
      [1, "truth"],
    ]);
  });
});
