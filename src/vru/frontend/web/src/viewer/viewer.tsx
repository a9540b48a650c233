import { useQuery } from "@tanstack/react-query";
import {
  ChevronLeft,
  ChevronRight,
  ChevronsLeft,
  ChevronsRight,
  Pause,
  Play,
  SkipBack,
  SkipForward,
} from "lucide-react";
import {
  type KeyboardEvent,
  type Ref,
  useDeferredValue,
  useImperativeHandle,
  useMemo,
  useRef,
  useState,
} from "react";
import { videoFileUrl } from "@/api/calls";
import { frameTimesQuery } from "@/api/queries";
import type { ModelRun, Video } from "@/api/types";
import { ProblemNotice } from "@/components/problem-notice";
import { UnapprovedBadge } from "@/components/status";
import { Button } from "@/components/ui/button";
import { Slider, Switch } from "@/components/ui/controls";
import { drawn, missStarts, trackLanes } from "@/lib/boxes";
import { formatMediaTime } from "@/lib/format";
import { isEvaluated, nearestFrame, nextTarget, previousTarget } from "@/lib/frames";
import { DETECTION_COLOUR, type Scene, TRUTH_COLOUR } from "./draw";
import { Lanes } from "./lanes";
import { Overlay, type OverlayHandle } from "./overlay";
import { useBoxes } from "./use-boxes";
import { usePlayback } from "./use-playback";

export interface ViewerHandle {
  seekTime: (seconds: number, track?: number) => void;
}

interface ViewerProps {
  video: Video;
  truthId: string;
  truthApproved: boolean;
  /** Without a run only the ground truth is shown. */
  run?: ModelRun;
  ref?: Ref<ViewerHandle>;
}

const NO_TIMES: number[] = [];

/** The video with boxes of truth and detections drawn over it, frame by frame. */
export function Viewer({ video, truthId, truthApproved, run, ref }: ViewerProps) {
  const element = useRef<HTMLVideoElement>(null);
  const overlay = useRef<OverlayHandle>(null);
  const frameTimes = useQuery(frameTimesQuery(video.id));
  const times = frameTimes.data ?? NO_TIMES;
  const playback = usePlayback(element, frameTimes.data, (index) => overlay.current?.draw(index));
  const { frame, seek, step, toggle, pause } = playback;
  const boxes = useBoxes(truthId, run?.id, frame, video.frame_count);

  const [showTruth, setShowTruth] = useState(true);
  const [showDetections, setShowDetections] = useState(true);
  const [labels, setLabels] = useState(true);
  const [track, setTrack] = useState<number>();
  const [chosenScore, setChosenScore] = useState<number>();
  const score = chosenScore ?? run?.settings.score_threshold ?? 0;
  const deferredScore = useDeferredValue(score);
  const overlap = run?.settings.iou_threshold ?? 0.5;
  const stride = run?.settings.frame_stride ?? 1;

  const range = useMemo(() => {
    let low = Math.min(0, run?.settings.score_threshold ?? 0);
    let high = 1;
    for (const { score: value } of boxes.detections) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return { low: Math.floor(low * 20) / 20, high: Math.ceil(high * 20) / 20 };
  }, [boxes.detections, run]);

  const sceneAt = useMemo(
    () =>
      (index: number): Scene => ({
        truth: showTruth ? (boxes.truthByFrame.get(index) ?? []) : [],
        detections: showDetections ? drawn(boxes.detectionsByFrame.get(index), score) : [],
        labels,
        truthApproved,
        track,
      }),
    [boxes, showTruth, showDetections, score, labels, truthApproved, track],
  );
  const lanes = useMemo(
    () =>
      trackLanes(boxes.truth, run ? boxes.detectionsByFrame : undefined, {
        score: deferredScore,
        overlap,
        evaluated: (index) => isEvaluated(index, stride),
      }),
    [boxes, run, deferredScore, overlap, stride],
  );
  const starts = useMemo(() => [...new Set(lanes.map((lane) => lane.first))], [lanes]);
  const misses = useMemo(() => missStarts(lanes), [lanes]);
  const tracks = run?.metrics?.tracks;
  const firstDetected = useMemo(
    () =>
      new Map(
        tracks?.flatMap((item): [number, number][] =>
          item.first_detected_s === null ? [] : [[item.track_id, nearestFrame(times, item.first_detected_s)]],
        ),
      ),
    [tracks, times],
  );
  const missed = useMemo(
    () => new Set(tracks?.filter((item) => item.first_detected_s === null).map((item) => item.track_id)),
    [tracks],
  );

  function jump(target: number | undefined) {
    if (target === undefined) return;
    pause();
    seek(target);
  }
  useImperativeHandle(ref, () => ({
    seekTime: (seconds, chosen) => {
      setTrack(chosen);
      jump(nearestFrame(times, seconds));
      element.current?.scrollIntoView({ block: "nearest", behavior: "smooth" });
    },
  }));

  function onKey(event: KeyboardEvent) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target as HTMLElement;
    if (target.closest("input, select, [role=slider]")) return;
    const amount = event.shiftKey ? 10 : 1;
    if (event.key === " ") {
      if (target.closest("button")) return;
      toggle();
    } else if (event.key === "k") toggle();
    else if (event.key === "ArrowRight" || event.key === ".") step(amount);
    else if (event.key === "ArrowLeft" || event.key === ",") step(-amount);
    else if (event.key === "t") jump(nextTarget(starts, frame));
    else if (event.key === "T") jump(previousTarget(starts, frame));
    else if (event.key === "m") jump(nextTarget(misses, frame));
    else if (event.key === "M") jump(previousTarget(misses, frame));
    else return;
    event.preventDefault();
  }

  const found = drawn(boxes.detectionsByFrame.get(frame), score).length;
  const present = boxes.truthByFrame.get(frame)?.length ?? 0;
  const time = times[frame] ?? 0;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: keys are shortcuts for the buttons inside.
    <div onKeyDown={onKey} className="min-w-0">
      <div
        className="relative overflow-hidden bg-black"
        style={{ aspectRatio: `${video.width} / ${video.height}` }}
      >
        <video
          ref={element}
          src={videoFileUrl(video.id)}
          preload="auto"
          muted
          playsInline
          tabIndex={-1}
          aria-label={`Video ${video.name}`}
          className="absolute inset-0 size-full object-fill"
          onClick={toggle}
        />
        <Overlay ref={overlay} width={video.width} frame={frame} sceneAt={sceneAt} />
        {!truthApproved && showTruth && (
          <div className="absolute top-2 right-2">
            <UnapprovedBadge />
          </div>
        )}
      </div>
      {playback.failed && (
        <div role="alert" className="border-line border-b bg-unsure-wash px-4 py-2.5">
          This browser cannot play the video ({video.codec}). The run's figures are not affected: frames are
          decoded on the server.
        </div>
      )}
      <ProblemNotice error={frameTimes.error ?? boxes.error} className="m-3" />

      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 border-line border-b px-4 py-2">
        <div className="flex items-center gap-0.5">
          <IconButton label="Ten frames back (Shift+←)" onClick={() => step(-10)} icon={<ChevronsLeft />} />
          <IconButton label="One frame back (←)" onClick={() => step(-1)} icon={<ChevronLeft />} />
          <Button
            look="primary"
            size="icon"
            aria-label={playback.playing ? "Pause" : "Play"}
            title={playback.playing ? "Pause (k)" : "Play (k)"}
            onClick={toggle}
            className="mx-1"
          >
            {playback.playing ? <Pause /> : <Play />}
          </Button>
          <IconButton label="One frame forward (→)" onClick={() => step(1)} icon={<ChevronRight />} />
          <IconButton
            label="Ten frames forward (Shift+→)"
            onClick={() => step(10)}
            icon={<ChevronsRight />}
          />
        </div>
        <p className="figures whitespace-nowrap" data-testid="position">
          <span className="font-semibold">{formatMediaTime(time)}</span>
          <span className="ml-3 text-ink-soft" title="Frames are counted from 0">
            frame {frame} of {video.frame_count}
          </span>
          {run && !isEvaluated(frame, stride) && <span className="ml-3 text-unsure">not evaluated</span>}
        </p>
        <Jump name="track" targets={starts} frame={frame} onJump={jump} keys="t" />
        {run && <Jump name="miss" targets={misses} frame={frame} onJump={jump} keys="m" />}
        {boxes.pending && <span className="text-[13px] text-ink-faint">Loading boxes</span>}
      </div>

      {times.length > 0 && (
        <Lanes
          lanes={lanes}
          times={times}
          frame={frame}
          firstDetected={firstDetected}
          missed={missed}
          onSeek={(target) => {
            pause();
            seek(target);
          }}
        />
      )}

      <div className="flex flex-wrap items-center gap-x-6 gap-y-2.5 border-line border-t px-4 py-2.5 text-[13px]">
        <span className="flex items-center gap-2">
          <Swatch colour={TRUTH_COLOUR} dashed={!truthApproved} />
          <Switch label={`Truth (${present})`} checked={showTruth} onChange={setShowTruth} />
        </span>
        {run && (
          <span className="flex items-center gap-2">
            <Swatch colour={DETECTION_COLOUR} />
            <Switch label={`Detections (${found})`} checked={showDetections} onChange={setShowDetections} />
          </span>
        )}
        <Switch label="Labels" checked={labels} onChange={setLabels} />
        {run && (
          <div className="flex min-w-0 flex-1 items-center gap-3 max-sm:w-full max-sm:flex-none">
            <span className="whitespace-nowrap">Drawn from score</span>
            <Slider
              label="Score from which detections are drawn"
              className="min-w-16 max-w-64 flex-1"
              value={score}
              min={range.low}
              max={range.high}
              step={0.01}
              onChange={setChosenScore}
            />
            <span className="figures w-9 text-right font-medium">{score.toFixed(2)}</span>
            {chosenScore !== undefined && chosenScore !== run.settings.score_threshold && (
              <Button size="small" look="quiet" onClick={() => setChosenScore(undefined)}>
                Back to the run's {run.settings.score_threshold}
              </Button>
            )}
          </div>
        )}
      </div>
      {run && (
        <p className="border-line border-t px-4 py-2 text-[12.5px] text-ink-faint leading-relaxed">
          Lanes: thick where a detection of the same class overlaps the truth by {overlap} or more at the
          score above, thin red where none does, upright tick at the first detection that the run counted.
          Only the drawing follows the slider; the figures stay.
        </p>
      )}
    </div>
  );
}

function IconButton({ label, icon, onClick }: { label: string; icon: React.ReactNode; onClick: () => void }) {
  return (
    <Button look="quiet" size="icon" aria-label={label} title={label} onClick={onClick}>
      {icon}
    </Button>
  );
}

interface JumpProps {
  name: string;
  targets: readonly number[];
  frame: number;
  keys: string;
  onJump: (target: number | undefined) => void;
}

/** Back and forward among frames that are worth a look. */
function Jump({ name, targets, frame, keys, onJump }: JumpProps) {
  const before = previousTarget(targets, frame);
  const after = nextTarget(targets, frame);
  const place = targets.filter((target) => target <= frame).length;
  const many = name === "miss" ? "Misses" : "Tracks";
  return (
    <div className="flex items-center gap-0.5 text-[13px]">
      <Button
        look="quiet"
        size="iconSmall"
        aria-label={`Previous ${name}`}
        title={`Previous ${name} (${keys.toUpperCase()})`}
        disabled={before === undefined}
        onClick={() => onJump(before)}
      >
        <SkipBack />
      </Button>
      <span className="figures whitespace-nowrap">
        {many}{" "}
        <span className="text-ink-faint">
          {place}/{targets.length}
        </span>
      </span>
      <Button
        look="quiet"
        size="iconSmall"
        aria-label={`Next ${name}`}
        title={`Next ${name} (${keys})`}
        disabled={after === undefined}
        onClick={() => onJump(after)}
      >
        <SkipForward />
      </Button>
    </div>
  );
}

function Swatch({ colour, dashed }: { colour: string; dashed?: boolean }) {
  return (
    <svg aria-hidden="true" viewBox="0 0 18 14" className="h-3.5 w-4.5">
      <rect x="0" y="0" width="18" height="14" rx="2" fill="#1b2126" />
      <rect
        x="3"
        y="3"
        width="12"
        height="8"
        fill="none"
        stroke={colour}
        strokeWidth="2"
        strokeDasharray={dashed ? "3 1.5" : undefined}
      />
    </svg>
  );
}
