import { Check, CircleHelp, ShieldAlert, X } from "lucide-react";
import type { RunState, Verdict } from "@/api/types";
import { humanise } from "@/lib/format";
import { isFinal } from "@/lib/runs";
import { Badge, type Tone } from "./ui/badge";

export const VERDICT_TONE: Record<Verdict, Tone> = { PASS: "pass", FAIL: "fail", INCONCLUSIVE: "unsure" };
const VERDICT_ICON = { PASS: Check, FAIL: X, INCONCLUSIVE: CircleHelp };

/** Says the verdict by word, icon and colour. */
export function VerdictBadge({ verdict }: { verdict: Verdict }) {
  const Icon = VERDICT_ICON[verdict];
  return (
    <Badge tone={VERDICT_TONE[verdict]}>
      <Icon aria-hidden strokeWidth={2.5} />
      {verdict}
    </Badge>
  );
}

export function StateBadge({ state }: { state: RunState }) {
  const tone: Tone = state === "failed" ? "fail" : isFinal(state) ? "neutral" : "accent";
  return (
    <Badge tone={tone}>
      {!isFinal(state) && <span aria-hidden className="size-1.5 animate-pulse rounded-full bg-accent" />}
      {humanise(state)}
    </Badge>
  );
}

export function UnapprovedBadge() {
  return (
    <Badge tone="unsure" title="Nobody has approved this ground truth. Figures made with it are provisional.">
      <ShieldAlert aria-hidden />
      Unapproved ground truth
    </Badge>
  );
}
