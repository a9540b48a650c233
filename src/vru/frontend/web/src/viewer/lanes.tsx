import { type KeyboardEvent, type PointerEvent, useMemo, useRef } from "react";
import type { Lane } from "@/lib/boxes";
import { formatMediaTime, humanise } from "@/lib/format";
import type { FrameTimes } from "@/lib/frames";
import { nearestFrame } from "@/lib/frames";

interface LanesProps {
  lanes: readonly Lane[];
  times: FrameTimes;
  frame: number;
  /** Frame of each track's first detection, as the run measured it. */
  firstDetected: ReadonlyMap<number, number>;
  missed: ReadonlySet<number>;
  onSeek: (frame: number) => void;
}

const ROW = 15;
const AXIS = 18;
const FILL = {
  covered: "var(--c-detection)",
  uncovered: "var(--c-fail)",
  ignored: "var(--c-line-strong)",
  truth: "var(--c-truth)",
};

/** Round steps of a time axis: at most about eight. */
function axisSteps(duration: number): number[] {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600];
  const step = steps.find((candidate) => duration / candidate <= 8) ?? 7200;
  return Array.from({ length: Math.floor(duration / step) + 1 }, (_, index) => index * step);
}

/**
 * The video's time from left to right, a lane for each track: where the road user is visible, which of it is covered by
 * a detection, and a tick at the first detection. A click or the arrow keys go there.
 */
export function Lanes({ lanes, times, frame, firstDetected, missed, onSeek }: LanesProps) {
  const area = useRef<HTMLDivElement>(null);
  const start = times[0] ?? 0;
  const end = times[times.length - 1] ?? 1;
  const duration = Math.max(end - start, 0.001);
  const share = (index: number) => (((times[index] ?? end) - start) / duration) * 100;
  const height = Math.max(1, lanes.length) * ROW;

  // The lanes stay as they are while the playhead moves: 60 times a second is too often to build them.
  const drawing = useMemo(
    () => (
      <LaneBars lanes={lanes} times={times} firstDetected={firstDetected} height={height} missed={missed} />
    ),
    [lanes, times, firstDetected, height, missed],
  );

  function toPointer(event: PointerEvent) {
    const box = area.current?.getBoundingClientRect();
    if (!box) return;
    const part = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    onSeek(nearestFrame(times, start + part * duration));
  }
  function onKey(event: KeyboardEvent) {
    const moves: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, PageUp: 10, PageDown: -10 };
    const move = moves[event.key];
    if (move !== undefined) onSeek(frame + move);
    else if (event.key === "Home") onSeek(0);
    else if (event.key === "End") onSeek(times.length - 1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  return (
    <div className="grid grid-cols-[auto_1fr] gap-x-3 px-4 pt-2 pb-1">
      <ol aria-hidden className="text-[11.5px] text-ink-faint" style={{ lineHeight: `${ROW}px` }}>
        {lanes.map((lane) => (
          <li key={lane.trackId} className="figures whitespace-nowrap">
            #{lane.trackId} <span className="max-md:hidden">{humanise(lane.roadUser)}</span>
          </li>
        ))}
      </ol>
      <div
        ref={area}
        role="slider"
        tabIndex={0}
        aria-label="Position in the video"
        aria-valuemin={0}
        aria-valuemax={times.length - 1}
        aria-valuenow={frame}
        aria-valuetext={`Frame ${frame}, ${formatMediaTime(times[frame] ?? 0)}`}
        className="relative cursor-crosshair touch-none"
        style={{ height: height + AXIS }}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          toPointer(event);
        }}
        onPointerMove={(event) => event.buttons & 1 && toPointer(event)}
        onKeyDown={onKey}
      >
        {drawing}
        <div
          aria-hidden
          className="-translate-x-1/2 pointer-events-none absolute top-0 w-px bg-ink"
          style={{ left: `${share(frame)}%`, height: height + 4 }}
        >
          <div className="-translate-x-1/2 absolute top-0 left-1/2 size-2 rounded-full bg-ink" />
        </div>
      </div>
    </div>
  );
}

interface LaneBarsProps extends Pick<LanesProps, "lanes" | "times" | "firstDetected" | "missed"> {
  height: number;
}

function LaneBars({ lanes, times, firstDetected, missed, height }: LaneBarsProps) {
  const start = times[0] ?? 0;
  const end = times[times.length - 1] ?? 1;
  const duration = Math.max(end - start, 0.001);
  const at = (index: number) =>
    (((times[Math.min(index, times.length - 1)] ?? end) - start) / duration) * 1000;
  return (
    <>
      <svg
        aria-hidden="true"
        viewBox={`0 0 1000 ${height}`}
        preserveAspectRatio="none"
        className="absolute inset-x-0 top-0 w-full"
        style={{ height }}
      >
        {lanes.map((lane, row) => (
          <g key={lane.trackId}>
            <rect x={0} y={row * ROW + 7} width={1000} height={1} fill="var(--c-line)" />
            {lane.spans.map((span) => {
              const thick = span.state !== "uncovered";
              return (
                <rect
                  key={span.first}
                  x={at(span.first)}
                  width={Math.max(0.7, at(span.last + 1) - at(span.first))}
                  y={row * ROW + (thick ? 3 : 6)}
                  height={thick ? 9 : 3}
                  fill={FILL[span.state]}
                />
              );
            })}
            <FirstDetection at={firstDetected.get(lane.trackId)} position={at} row={row} />
            {missed.has(lane.trackId) && (
              <rect x={at(lane.first) - 1} y={row * ROW + 1} width={2} height={13} fill="var(--c-fail)" />
            )}
          </g>
        ))}
      </svg>
      <div className="absolute inset-x-0 text-[11px] text-ink-faint" style={{ top: height + 3 }}>
        {axisSteps(duration).map((second) => (
          <span
            key={second}
            className="figures -translate-x-1/2 absolute first:translate-x-0"
            style={{ left: `${(second / duration) * 100}%` }}
          >
            {formatMediaTime(second).replace(/\.000$/, "")}
          </span>
        ))}
      </div>
    </>
  );
}

interface FirstDetectionProps {
  at: number | undefined;
  position: (frame: number) => number;
  row: number;
}

function FirstDetection({ at, position, row }: FirstDetectionProps) {
  if (at === undefined) return null;
  return <rect x={position(at) - 1} y={row * ROW + 1} width={2} height={13} fill="var(--c-ink)" />;
}
