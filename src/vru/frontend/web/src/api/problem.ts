/** An answer that is no success, as application/problem+json (RFC 9457), or what stood in for it. */
export class ProblemError extends Error {
  override name = "ProblemError";
  constructor(
    readonly status: number,
    detail: string,
    readonly fix: string | null = null,
    readonly requestId: string | null = null,
  ) {
    super(detail);
  }
}

/** Refused by the page itself, before anything was sent. */
export class FileTooLargeError extends ProblemError {
  override name = "FileTooLargeError";
  constructor(file: string, size: number, most: number) {
    super(
      413,
      `${file} has ${megabytes(size)} MB, more than the ${megabytes(most)} MB that this platform takes.`,
      "Cut it into parts, or have the administrator raise the limit (VRU_MAX_UPLOAD_MB, VRU_MAX_GROUND_TRUTH_MB).",
    );
  }
}

function megabytes(bytes: number): string {
  return (Math.ceil(bytes / 100_000) / 10).toString();
}

const UNREACHABLE = "The server cannot be reached.";

function text(value: unknown): string | null {
  return typeof value === "string" && value ? value : null;
}

/** A problem from an answer's body, which may be anything: a proxy in between answers with HTML. */
export function toProblem(
  body: unknown,
  response: Pick<Response, "status" | "statusText"> | undefined,
): ProblemError {
  if (body instanceof ProblemError) return body;
  if (!response) return new ProblemError(0, UNREACHABLE, "Check the network, then try again.");
  const fields = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const detail = text(fields.detail) ?? text(fields.title) ?? fallback(response.status, response.statusText);
  return new ProblemError(response.status, detail, text(fields.fix), text(fields.request_id));
}

/** The same for an answer that was read as text. */
export function parseProblem(body: string, status: number, statusText: string): ProblemError {
  let parsed: unknown = null;
  try {
    parsed = JSON.parse(body);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return toProblem(parsed, status ? ({ status, statusText } as Response) : undefined);
}

function fallback(status: number, statusText: string): string {
  if (status === 413) return "The file is above the server's size limit.";
  if (status === 502 || status === 503 || status === 504) return "The server is not ready to answer.";
  return `The server answered ${status}${statusText ? ` ${statusText}` : ""}.`;
}
