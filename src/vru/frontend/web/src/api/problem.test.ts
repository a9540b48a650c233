import { expect, it } from "vitest";
import { parseProblem, toProblem } from "./problem";

it("reads a problem with its fix", () => {
  const body = {
    title: "Conflict",
    status: 409,
    detail: "The name is taken.",
    fix: "Choose another.",
    request_id: "r1",
  };
  const problem = toProblem(body, { status: 409, statusText: "Conflict" });
  expect(problem).toMatchObject({
    message: "The name is taken.",
    fix: "Choose another.",
    status: 409,
    requestId: "r1",
  });
});

it("stands in for what is no problem+json", () => {
  expect(parseProblem("<html>", 413, "").message).toBe("The file is above the server's size limit.");
  expect(parseProblem("", 0, "").message).toBe("The server cannot be reached.");
  expect(toProblem(undefined, { status: 418, statusText: "I'm a teapot" }).message).toContain("418");
});
