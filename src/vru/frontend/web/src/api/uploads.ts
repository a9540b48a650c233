/** Uploads that are under way. They belong to the browser tab and not to a page of it: looking elsewhere ends none. */
import { useSyncExternalStore } from "react";
import type { UploadProgress } from "./upload";

export interface Upload extends UploadProgress {
  /** Where the file goes: one upload at a time. */
  place: string;
  name: string;
  stop: () => void;
  error?: unknown;
}

export type Send = (
  file: File,
  options: { onProgress: (progress: UploadProgress) => void; signal: AbortSignal },
) => Promise<unknown>;

let uploads: ReadonlyMap<string, Upload> = new Map();
const listeners = new Set<() => void>();

function change(place: string, next: Upload | undefined) {
  const changed = new Map(uploads);
  if (next) changed.set(place, next);
  else changed.delete(place);
  uploads = changed;
  for (const listener of listeners) listener();
}

/** Leaving the whole page would end them: the browser asks first. */
function keepPage(event: BeforeUnloadEvent) {
  if ([...uploads.values()].some((upload) => upload.error === undefined)) event.preventDefault();
}

/** Send a file to a place. What is refused stays in the store with its error until the next upload there. */
export async function startUpload(place: string, file: File, send: Send): Promise<void> {
  const running = uploads.get(place);
  if (running && running.error === undefined) return;
  const abort = new AbortController();
  const upload = { place, name: file.name, sent: 0, total: file.size, stop: () => abort.abort() };
  window.addEventListener("beforeunload", keepPage);
  change(place, upload);
  try {
    const onProgress = (progress: UploadProgress) => change(place, { ...upload, ...progress });
    await send(file, { onProgress, signal: abort.signal });
    change(place, undefined);
  } catch (error) {
    const stopped = error instanceof DOMException && error.name === "AbortError";
    change(place, stopped ? undefined : { ...upload, error });
  }
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** What is sent to a place, or was refused there. */
export function useUpload(place: string): Upload | undefined {
  return useSyncExternalStore(subscribe, () => uploads.get(place));
}

/** All that is being sent. */
export function useUploads(): Upload[] {
  const all = useSyncExternalStore(subscribe, () => uploads);
  return [...all.values()].filter((upload) => upload.error === undefined);
}
