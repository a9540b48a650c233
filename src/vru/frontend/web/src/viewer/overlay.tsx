import { type Ref, useCallback, useEffect, useImperativeHandle, useRef } from "react";
import { drawScene, type Scene } from "./draw";

export interface OverlayHandle {
  /** Draws a frame now, without waiting for React. */
  draw: (frame: number) => void;
}

interface OverlayProps {
  width: number;
  frame: number;
  sceneAt: (frame: number) => Scene;
  ref: Ref<OverlayHandle>;
}

/** The canvas over the video. As large as its parent; `width` is the video's in its own pixels. */
export function Overlay({ width, frame, sceneAt, ref }: OverlayProps) {
  const canvas = useRef<HTMLCanvasElement>(null);

  const draw = useCallback(
    (index: number) => {
      const element = canvas.current;
      const context = element?.getContext("2d");
      if (!element || !context) return;
      drawScene(context, sceneAt(index), element.width / width, window.devicePixelRatio || 1);
    },
    [sceneAt, width],
  );
  useImperativeHandle(ref, () => ({ draw }), [draw]);
  useEffect(() => draw(frame), [draw, frame]);

  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      const density = window.devicePixelRatio || 1;
      element.width = Math.round(element.clientWidth * density);
      element.height = Math.round(element.clientHeight * density);
      draw(frame);
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [draw, frame]);

  return <canvas ref={canvas} aria-hidden className="pointer-events-none absolute inset-0 size-full" />;
}
