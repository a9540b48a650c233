/** Frame times are the seconds of media time of each frame, in presentation order. */
export type FrameTimes = readonly number[];

/** Browsers report media time rounded to microseconds or milliseconds: this much (s) below a frame's time is the frame. */
const ROUNDING_S = 0.0015;

/** The index of the frame that is on screen at `mediaTime` seconds: the last that began by then. */
export function frameAt(times: FrameTimes, mediaTime: number): number {
  let low = 0;
  let high = times.length - 1;
  const limit = mediaTime + ROUNDING_S;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((times[middle] ?? Number.POSITIVE_INFINITY) <= limit) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The frame whose time is nearest to `seconds`. For times that come from the server, which are exact. */
export function nearestFrame(times: FrameTimes, seconds: number): number {
  const before = frameAt(times, seconds);
  const here = times[before];
  const next = times[before + 1];
  if (here === undefined || next === undefined) return before;
  return next - seconds < seconds - here ? before + 1 : before;
}

/**
 * The time (s) to seek to so that frame `index` is shown: the middle of the time that it is on screen, because a seek
 * to the exact start may land on the frame before it.
 */
export function seekTime(times: FrameTimes, index: number): number {
  const here = times[index] ?? 0;
  const next = times[index + 1];
  if (next !== undefined) return (here + next) / 2;
  const before = times[index - 1];
  return before === undefined ? here : here + (here - before) / 4;
}

export function clampFrame(times: FrameTimes, index: number): number {
  return Math.max(0, Math.min(times.length - 1, index));
}

/** Whether the run looked at this frame: every n-th, counted from 0. */
export function isEvaluated(index: number, stride: number): boolean {
  return index % Math.max(1, stride) === 0;
}

/** The last target before `frame`, or undefined. `targets` ascend. */
export function previousTarget(targets: readonly number[], frame: number): number | undefined {
  return targets.findLast((target) => target < frame);
}

/** The first target after `frame`, or undefined. `targets` ascend. */
export function nextTarget(targets: readonly number[], frame: number): number | undefined {
  return targets.find((target) => target > frame);
}
