import type { Detection, TruthBox } from "@/api/types";

// On video the colours do not follow the page's theme: they must stand out from pictures, and from each other also
// for people who do not tell red from green. Truth is also dashed if it is not approved, and labelled on another edge.
export const TRUTH_COLOUR = "#2fe0ff";
export const DETECTION_COLOUR = "#ff9a1f";

export interface Scene {
  truth: readonly TruthBox[];
  detections: readonly Detection[];
  /** Tracks' numbers and scores beside the boxes. */
  labels: boolean;
  truthApproved: boolean;
  /** The track to stress, if one is chosen. */
  track: number | undefined;
}

/** Draws one frame's boxes. `scale`: canvas pixels for one video pixel; `density`: canvas pixels for one CSS pixel. */
export function drawScene(
  context: CanvasRenderingContext2D,
  scene: Scene,
  scale: number,
  density: number,
): void {
  const { canvas } = context;
  context.clearRect(0, 0, canvas.width, canvas.height);
  const line = 2 * density;
  context.font = `600 ${11.5 * density}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  for (const box of scene.detections) {
    outline(context, box, scale, line, DETECTION_COLOUR, []);
    if (scene.labels) {
      const text = box.road_user === "pedestrian" ? score(box) : `${box.road_user} ${score(box)}`;
      label(context, text, box.x * scale, (box.y + box.height) * scale, DETECTION_COLOUR, "below", density);
    }
  }
  for (const box of scene.truth) {
    const stressed = scene.track === box.track_id;
    const dash = box.ignore ? [2, 4] : scene.truthApproved ? [] : [8, 4];
    context.globalAlpha = box.ignore ? 0.7 : 1;
    outline(
      context,
      box,
      scale,
      stressed ? line * 1.75 : line,
      TRUTH_COLOUR,
      dash.map((length) => length * density),
    );
    if (scene.labels) {
      const marks = [box.occluded && "occluded", box.truncated && "truncated", box.ignore && "ignored"];
      const text = [`#${box.track_id} ${box.road_user.replaceAll("_", " ")}`, ...marks]
        .filter(Boolean)
        .join(", ");
      label(context, text, box.x * scale, box.y * scale, TRUTH_COLOUR, "above", density);
    }
    context.globalAlpha = 1;
  }
}

function score(box: Detection): string {
  return box.score.toFixed(2);
}

interface Rectangle {
  x: number;
  y: number;
  width: number;
  height: number;
}

function outline(
  context: CanvasRenderingContext2D,
  box: Rectangle,
  scale: number,
  line: number,
  colour: string,
  dash: number[],
): void {
  const inset = line / 2;
  const x = box.x * scale + inset;
  const y = box.y * scale + inset;
  const width = Math.max(1, box.width * scale - line);
  const height = Math.max(1, box.height * scale - line);
  // A dark edge below keeps the line visible on bright pictures.
  context.setLineDash([]);
  context.lineWidth = line * 2;
  context.strokeStyle = "rgb(0 0 0 / 0.45)";
  context.strokeRect(x, y, width, height);
  context.setLineDash(dash);
  context.lineWidth = line;
  context.strokeStyle = colour;
  context.strokeRect(x, y, width, height);
  context.setLineDash([]);
}

function label(
  context: CanvasRenderingContext2D,
  text: string,
  x: number,
  edge: number,
  colour: string,
  side: "above" | "below",
  density: number,
): void {
  const height = 17 * density;
  const width = context.measureText(text).width + 8 * density;
  const { canvas } = context;
  let top = side === "above" ? edge - height : edge;
  // Inside the box where there is no room outside.
  if (top < 0) top = edge;
  if (top + height > canvas.height) top = edge - height;
  const left = Math.max(0, Math.min(x, canvas.width - width));
  context.fillStyle = colour;
  context.fillRect(left, top, width, height);
  context.fillStyle = "#06141a";
  context.fillText(text, left + 4 * density, top + height / 2 + 0.5 * density);
}
