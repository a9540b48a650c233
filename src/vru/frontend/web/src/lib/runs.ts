import type { Run, RunState, Verdict } from "@/api/types";

export const RUN_STEPS: RunState[] = ["queued", "preparing", "running", "analysing", "completed"];

export function isFinal(state: RunState): boolean {
  return state === "completed" || state === "failed" || state === "cancelled";
}

/** One sentence for a state, for people who wait. */
export const STATE_MEANING: Record<RunState, string> = {
  queued: "Waiting for a worker.",
  preparing: "Checking the video, the ground truth and the model.",
  running: "The model looks at the video's frames.",
  analysing: "Matching detections with ground truth, and measuring.",
  completed: "Done.",
  failed: "The run stopped with an error.",
  cancelled: "Somebody cancelled the run.",
};

/** Where a camera run does something else. */
const CAMERA_MEANING: Partial<Record<RunState, string>> = {
  preparing: "Checking the video, the ground truth and the recording.",
  running: "Joining the clocks.",
  analysing: "Matching signals with ground truth, and measuring.",
};

/** What a run is about, for titles: its model and version, or a camera's signals. */
export function runName(run: Pick<Run, "model" | "model_version">): string {
  return run.model ? `${run.model} ${run.model_version ?? ""}`.trim() : "Camera signals";
}

/** The priorities that the page offers; the API takes any from -100 to 100. */
export const PRIORITIES = [
  { value: 10, label: "High" },
  { value: 0, label: "Normal" },
  { value: -10, label: "Low" },
] as const;

export type RunAction = "pause" | "resume" | "cancel" | "retry";

/** What can be done with a run now, and whether its place in the queue still decides anything. */
export function runActions(run: Pick<Run, "state" | "paused_at">): { names: RunAction[]; ordered: boolean } {
  if (run.state === "failed" || run.state === "cancelled") return { names: ["retry"], ordered: false };
  if (isFinal(run.state)) return { names: [], ordered: false };
  if (run.paused_at) return { names: ["resume", "cancel"], ordered: true };
  if (run.state === "analysing") return { names: ["cancel"], ordered: false };
  return { names: ["pause", "cancel"], ordered: true };
}

/** What a run is doing, in one sentence. */
export function runMeaning(run: Pick<Run, "state" | "paused_at" | "kind">): string {
  if (run.paused_at) return "Paused: no clip is started; those under way are finished.";
  if (run.kind === "camera") return CAMERA_MEANING[run.state] ?? STATE_MEANING[run.state];
  return STATE_MEANING[run.state];
}

/** What the verdict says in one sentence, from its criteria. */
export function verdictSummary(
  run: Pick<Run, "verdict" | "verdict_reasons"> & Partial<Pick<Run, "set_aside">>,
): string {
  const results = run.verdict_reasons ?? [];
  const required = results.filter((result) => result.criterion.severity === "required");
  const count = (verdict: Verdict) => required.filter((result) => result.verdict === verdict).length;
  const of = `of ${required.length} required ${required.length === 1 ? "criterion" : "criteria"}`;
  const failed = count("FAIL");
  const open = count("INCONCLUSIVE");
  const apart = (run.set_aside?.length ?? 0) > 0;
  if (run.verdict === "INCONCLUSIVE" && apart && !open)
    return "Every required criterion is met with confidence, but part of the video could not be processed.";
  if (run.verdict === "PASS") return `All ${required.length} required criteria are met with confidence.`;
  const parts: string[] = [];
  if (failed) parts.push(`${failed} ${of} ${failed === 1 ? "is" : "are"} not met`);
  if (open) {
    const rest = failed ? `${open} more cannot` : `${open} ${of} cannot`;
    parts.push(`${rest} be decided with this much evidence`);
  }
  return parts.length ? `${parts.join("; ")}.` : "No required criterion decided this.";
}

/** Frames a second and seconds left, from two moments of a run's progress; null until it moves. */
export function pace(
  before: { at: number; done: number },
  now: { at: number; done: number; total: number },
): { perSecond: number; secondsLeft: number } | null {
  const seconds = (now.at - before.at) / 1000;
  const frames = now.done - before.done;
  // The first frames say little: the model may still be loading.
  if (seconds < 2 || frames <= 0) return null;
  const perSecond = frames / seconds;
  return { perSecond, secondsLeft: Math.max(0, now.total - now.done) / perSecond };
}
