import { type RefObject, useCallback, useEffect, useRef, useState } from "react";
import { clampFrame, type FrameTimes, frameAt, seekTime } from "@/lib/frames";

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
  /** Where the last seek goes. Steps count from here, so that fast key presses add up. */
  const wanted = useRef<number | null>(null);
  /** Media time of the browser minus the file's: some players move the first frame to 0. */
  const offset = useRef(0);
  const shown = useRef(0);
  const notify = useRef(onFrame);
  useEffect(() => {
    notify.current = onFrame;
  }, [onFrame]);

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
    const onPicture: VideoFrameRequestCallback = (_, { mediaTime }) => {
      if (!alive) return;
      if (!calibrated && video.currentTime < 0.001) {
        offset.current = mediaTime - first;
        calibrated = true;
      }
      show(mediaTime);
      handle = video.requestVideoFrameCallback(onPicture);
    };
    const onRefresh = () => {
      if (!alive) return;
      show(video.currentTime);
      handle = requestAnimationFrame(onRefresh);
    };
    handle = exact ? video.requestVideoFrameCallback(onPicture) : requestAnimationFrame(onRefresh);

    const onSeeked = () => {
      const target = wanted.current;
      wanted.current = null;
      // The target changed while the player was on its way.
      if (target !== null && frameAt(times, video.currentTime - offset.current) !== target) {
        wanted.current = target;
        video.currentTime = seekTime(times, target) + offset.current;
      }
    };
    const onPlay = () => {
      wanted.current = null;
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
  }, [videoRef, times]);

  const seek = useCallback(
    (target: number) => {
      const video = videoRef.current;
      if (!video || !times || times.length === 0) return;
      const index = clampFrame(times, target);
      const busy = wanted.current !== null && video.seeking;
      wanted.current = index;
      // A second seek would throw away the first's work: it starts when the first has arrived.
      if (!busy) video.currentTime = seekTime(times, index) + offset.current;
    },
    [videoRef, times],
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
