import { parseProblem } from "./problem";

export interface UploadProgress {
  sent: number;
  total: number;
}

/**
 * Sends a file as the request's raw body, with progress. fetch cannot tell how much was sent, XMLHttpRequest can.
 *
 * Throws a ProblemError for an error answer, and an AbortError when `signal` aborts.
 */
export function upload<T>(
  url: string,
  file: Blob,
  { onProgress, signal }: { onProgress?: (progress: UploadProgress) => void; signal?: AbortSignal } = {},
): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => onProgress?.({ sent: event.loaded, total: event.total });
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(JSON.parse(request.responseText) as T);
      else reject(parseProblem(request.responseText, request.status, request.statusText));
    };
    request.onerror = () => reject(parseProblem("", 0, ""));
    request.onabort = () => reject(new DOMException("The upload was cancelled.", "AbortError"));
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}
