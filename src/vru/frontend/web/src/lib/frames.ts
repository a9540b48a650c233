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

/** A seek under way: the time (s) that was asked for, and what earlier tries showed. */
export interface Seek {
  target: number;
  at: number;
  /** The latest time that showed a frame before the target, and the earliest that showed one after it. */
  low: number;
  high: number;
  tries: number;
}

const FIRST_STEP_S = 0.004;
const MOST_TRIES = 24;

export function seekTo(times: FrameTimes, target: number): Seek {
  return {
    target,
    at: seekTime(times, target),
    low: Number.NEGATIVE_INFINITY,
    high: Number.POSITIVE_INFINITY,
    tries: 0,
  };
}

/**
 * The next try after a seek that showed frame `shown` and not its target; undefined if none is left.
 *
 * Players take a frame to last as long as the file says of all frames. Where frames come in bursts, the time at which
 * they show one is then not that of the file: it is searched, in growing steps and then by halves.
 */
export function nextTry(seek: Seek, shown: number, duration: number): Seek | undefined {
  const tries = seek.tries + 1;
  const low = shown < seek.target ? Math.max(seek.low, seek.at) : seek.low;
  const high = shown > seek.target ? Math.min(seek.high, seek.at) : seek.high;
  const step = FIRST_STEP_S * 2 ** (tries - 1);
  let at = (low + high) / 2;
  if (high === Number.POSITIVE_INFINITY) at = Math.min(low + step, duration);
  else if (low === Number.NEGATIVE_INFINITY) at = Math.max(high - step, 0);
  return tries > MOST_TRIES || at === seek.at ? undefined : { target: seek.target, at, low, high, tries };
}
