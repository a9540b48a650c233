import { type RefObject, useCallback, useEffect, useRef, useState } from "react";
import { clampFrame, type FrameTimes, frameAt, nextTry, type Seek, seekTo } from "@/lib/frames";

export interface Playback {
  frame: number;
  playing: boolean;
  failed: boolean;
  play: () => void;
  pause: () => void;
  toggle: () => void;
  seek: (frame: number) => void;
  step: (frames: number) => void;
}

/**
 * Drives a video element by frames instead of seconds.
 *
 * Which frame is on screen comes from requestVideoFrameCallback (exact media time of the picture shown) where the
 * browser has it, else from currentTime, once a screen refresh. `onFrame` is called at once when a picture is shown,
 * before React renders, so that what is drawn over the video keeps pace with it.
 */
export function usePlayback(
  videoRef: RefObject<HTMLVideoElement | null>,
  times: FrameTimes | undefined,
  onFrame: (frame: number) => void,
): Playback {
  const [frame, setFrame] = useState(0);
  const [playing, setPlaying] = useState(false);
  const [failed, setFailed] = useState(false);
  /** The frame that is wanted. Steps count from here, so that fast key presses add up. */
  const wanted = useRef<number | null>(null);
  /** What the player was asked for. */
  const seeking = useRef<Seek | null>(null);
  /** The frame that the player has shown since then. */
  const arrived = useRef<number | null>(null);
  /** Media time of the browser minus the file's: some players move the first frame to 0. */
  const offset = useRef(0);
  const shown = useRef(0);
  const notify = useRef(onFrame);
  useEffect(() => {
    notify.current = onFrame;
  }, [onFrame]);

  const begin = useCallback((video: HTMLVideoElement, seek: Seek) => {
    seeking.current = seek;
    arrived.current = null;
    video.currentTime = seek.at + offset.current;
  }, []);

  useEffect(() => {
    const video = videoRef.current;
    if (!video || !times || times.length === 0) return;
    const first = times[0] ?? 0;
    let alive = true;
    let handle = 0;
    let calibrated = false;

    const show = (mediaTime: number) => {
      const index = frameAt(times, mediaTime - offset.current);
      shown.current = index;
      notify.current(index);
      setFrame(index);
    };
    const exact = "requestVideoFrameCallback" in video;
    /** Whether the player is sent on, because it arrived at a frame that is not the wanted one. */
    const tryAgain = () => {
      const seek = seeking.current;
      if (!seek || video.seeking || arrived.current === null || wanted.current !== seek.target) return false;
      const next =
        arrived.current === seek.target ? undefined : nextTry(seek, arrived.current, video.duration);
      if (next) begin(video, next);
      else wanted.current = seeking.current = null;
      return next !== undefined;
    };
    const onPicture: VideoFrameRequestCallback = (_, { mediaTime }) => {
      if (!alive) return;
      if (!calibrated && video.currentTime < 0.001) {
        offset.current = mediaTime - first;
        calibrated = true;
      }
      handle = video.requestVideoFrameCallback(onPicture);
      arrived.current = frameAt(times, mediaTime - offset.current);
      if (!tryAgain()) show(mediaTime);
    };
    const onRefresh = () => {
      if (!alive) return;
      show(video.currentTime);
      handle = requestAnimationFrame(onRefresh);
    };
    handle = exact ? video.requestVideoFrameCallback(onPicture) : requestAnimationFrame(onRefresh);

    const onSeeked = () => {
      const target = wanted.current;
      if (target !== null && target !== seeking.current?.target) {
        // The target changed while the player was on its way.
        begin(video, seekTo(times, target));
      } else if (!exact) wanted.current = seeking.current = null;
      // The picture may come before the player says that it has arrived, or after.
      else if (!tryAgain() && arrived.current !== null) show((times[arrived.current] ?? 0) + offset.current);
    };
    const onPlay = () => {
      wanted.current = seeking.current = null;
      setPlaying(true);
    };
    const onPause = () => setPlaying(false);
    const onError = () => setFailed(true);
    if (video.error) setFailed(true);
    video.addEventListener("seeked", onSeeked);
    video.addEventListener("play", onPlay);
    video.addEventListener("pause", onPause);
    video.addEventListener("ended", onPause);
    video.addEventListener("error", onError);
    return () => {
      alive = false;
      if (exact) video.cancelVideoFrameCallback(handle);
      else cancelAnimationFrame(handle);
      video.removeEventListener("seeked", onSeeked);
      video.removeEventListener("play", onPlay);
      video.removeEventListener("pause", onPause);
      video.removeEventListener("ended", onPause);
      video.removeEventListener("error", onError);
    };
  }, [videoRef, times, begin]);

  const seek = useCallback(
    (target: number) => {
      const video = videoRef.current;
      if (!video || !times || times.length === 0) return;
      wanted.current = clampFrame(times, target);
      // A second seek would throw away the first's work: it starts when the first has arrived.
      if (seeking.current && video.seeking) return;
      begin(video, seekTo(times, wanted.current));
    },
    [videoRef, times, begin],
  );
  const play = useCallback(() => {
    // Refused where there is nothing to play; the error event tells that.
    videoRef.current?.play().catch(() => setPlaying(false));
  }, [videoRef]);
  const pause = useCallback(() => videoRef.current?.pause(), [videoRef]);
  const toggle = useCallback(() => {
    if (videoRef.current?.paused) play();
    else pause();
  }, [videoRef, play, pause]);
  const step = useCallback(
    (frames: number) => {
      pause();
      seek((wanted.current ?? shown.current) + frames);
    },
    [pause, seek],
  );
  return { frame, playing, failed, play, pause, toggle, seek, step };
}
