import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { setNonce } from "get-nonce";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ProblemError } from "./api/problem";
import { makeRouter } from "./router";
import "./styles.css";

// The dialog's scroll lock adds a style element: the content policy admits it with this answer's nonce only.
setNonce(document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "");

const queries = new QueryClient({
  queryCache: new QueryCache({
    onError: (error) => {
      // The session ended while the page was open.
      const here = router.state.location;
      if (error instanceof ProblemError && error.status === 401 && here.pathname !== "/login") {
        queries.removeQueries({ queryKey: ["me"] });
        void router.navigate({ to: "/login", search: { next: here.href } });
      }
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // What the server refused it will refuse again; what did not reach it is worth another try.
      retry: (count, error) =>
        count < 2 && !(error instanceof ProblemError && error.status >= 400 && error.status < 500),
    },
  },
});

const router = makeRouter(queries);
const place = document.getElementById("root");
if (!place) throw new Error("index.html has no element with the id root.");

createRoot(place).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);
