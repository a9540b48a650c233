import type { Detection, TruthBox } from "@/api/types";

interface Rectangle {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Intersection over union, from 0 to 1. The same formula as `vru.domain.boxes.iou`. */
export function iou(a: Rectangle, b: Rectangle): number {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  if (width <= 0 || height <= 0) return 0;
  const overlap = width * height;
  return overlap / (a.width * a.height + b.width * b.height - overlap);
}

export function groupByFrame<T extends { frame_index: number }>(items: Iterable<T>): Map<number, T[]> {
  const frames = new Map<number, T[]>();
  for (const item of items) {
    const frame = frames.get(item.frame_index);
    if (frame) frame.push(item);
    else frames.set(item.frame_index, [item]);
  }
  return frames;
}

/** Whether any detection of the truth's class, with at least `score`, overlaps the truth box by at least `overlap`. */
export function isCovered(
  truth: TruthBox,
  detections: readonly Detection[],
  score: number,
  overlap: number,
): boolean {
  return detections.some(
    (detection) =>
      detection.score >= score && detection.road_user === truth.road_user && iou(truth, detection) >= overlap,
  );
}

/** Consecutive frames of one track in the same condition. Both frames included. */
export interface Span {
  first: number;
  last: number;
  state: "covered" | "uncovered" | "ignored" | "truth";
}

export interface Lane {
  trackId: number;
  roadUser: string;
  first: number;
  last: number;
  spans: Span[];
}

export interface LaneOptions {
  score: number;
  overlap: number;
  /** Frames that the run did not evaluate are left out. */
  evaluated: (frame: number) => boolean;
}

/**
 * One lane a track, in order of appearance: where it is visible and, given detections, in which evaluated frames a
 * detection covers it.
 */
export function trackLanes(
  truth: readonly TruthBox[],
  detections: Map<number, Detection[]> | undefined,
  options: LaneOptions,
): Lane[] {
  const tracks = new Map<number, TruthBox[]>();
  for (const box of truth) {
    const track = tracks.get(box.track_id);
    if (track) track.push(box);
    else tracks.set(box.track_id, [box]);
  }
  const lanes: Lane[] = [];
  for (const [trackId, boxes] of tracks) {
    boxes.sort((a, b) => a.frame_index - b.frame_index);
    const first = boxes[0];
    const last = boxes[boxes.length - 1];
    if (!first || !last) continue;
    lanes.push({
      trackId,
      roadUser: first.road_user,
      first: first.frame_index,
      last: last.frame_index,
      spans: spansOf(boxes, detections, options),
    });
  }
  return lanes.sort((a, b) => a.first - b.first || a.trackId - b.trackId);
}

function spansOf(
  boxes: readonly TruthBox[],
  detections: Map<number, Detection[]> | undefined,
  { score, overlap, evaluated }: LaneOptions,
): Span[] {
  const spans: Span[] = [];
  let previousFrame = -1;
  for (const box of boxes) {
    if (!evaluated(box.frame_index)) continue;
    let state: Span["state"] = "truth";
    if (box.ignore) state = "ignored";
    else if (detections)
      state = isCovered(box, detections.get(box.frame_index) ?? [], score, overlap) ? "covered" : "uncovered";
    const current = spans[spans.length - 1];
    // A gap in visibility begins a new span; a gap made by the stride does not.
    const joined = current && allSkipped(previousFrame, box.frame_index, evaluated);
    if (current && joined && current.state === state) current.last = box.frame_index;
    else spans.push({ first: box.frame_index, last: box.frame_index, state });
    previousFrame = box.frame_index;
  }
  return spans;
}

function allSkipped(from: number, to: number, evaluated: (frame: number) => boolean): boolean {
  for (let frame = from + 1; frame < to; frame++) if (evaluated(frame)) return false;
  return true;
}

/** The first frame of each stretch in which some track is not covered, ascending and unique. */
export function missStarts(lanes: readonly Lane[]): number[] {
  const frames = lanes.flatMap((lane) =>
    lane.spans.filter((span) => span.state === "uncovered").map((span) => span.first),
  );
  return [...new Set(frames)].sort((a, b) => a - b);
}

/** Detections with at least `score` in one frame. */
export function drawn(detections: readonly Detection[] | undefined, score: number): Detection[] {
  return (detections ?? []).filter((detection) => detection.score >= score);
}
