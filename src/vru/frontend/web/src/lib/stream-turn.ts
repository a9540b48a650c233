/**
 * Runs `follow` while this tab may hold the browser's one event stream, and what it returns when the turn is lost.
 *
 * A browser opens six connections to a server, for all tabs together, and an event stream keeps one for itself: the
 * seventh page of a live run would hang. So the tab that was looked at last has the turn, and a hidden one has none.
 * Call what this returns at the end.
 */
export function inStreamTurn(follow: () => () => void): () => void {
  const tabs = new BroadcastChannel("vru-event-stream");
  let leave: (() => void) | undefined;
  const lose = () => {
    leave?.();
    leave = undefined;
  };
  const look = () => {
    if (document.visibilityState !== "visible") return lose();
    tabs.postMessage("taken");
    leave ??= follow();
  };
  tabs.addEventListener("message", lose);
  document.addEventListener("visibilitychange", look);
  window.addEventListener("focus", look);
  look();
  return () => {
    tabs.close();
    document.removeEventListener("visibilitychange", look);
    window.removeEventListener("focus", look);
    lose();
  };
}
