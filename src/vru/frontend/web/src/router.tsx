import { type QueryClient, useQueryErrorResetBoundary } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  type ErrorComponentProps,
  Link,
  lazyRouteComponent,
  Outlet,
  redirect,
  useRouter,
} from "@tanstack/react-router";
import { ProblemError } from "./api/problem";
import { meQuery } from "./api/queries";
import { AppShell } from "./components/app-shell";
import { Loading, Page } from "./components/page";
import { ProblemNotice } from "./components/problem-notice";

function Failed({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const queries = useQueryErrorResetBoundary();
  function retry() {
    // What failed is asked for again, not shown again from memory.
    queries.reset();
    reset();
    void router.invalidate();
  }
  return (
    <Page title="This page cannot be shown">
      <ProblemNotice error={error} onRetry={retry} />
    </Page>
  );
}

function NotFound() {
  return (
    <Page title="There is no such page">
      <p>
        The address is wrong, or what it named was deleted.{" "}
        <Link to="/projects" className="text-accent underline">
          Go to the projects
        </Link>
      </p>
    </Page>
  );
}

/** Only a path of this page: an address from outside must not decide where somebody lands after logging in. */
function localPath(path: unknown): string | undefined {
  return typeof path === "string" && /^\/(?![/\\])/.test(path) ? path : undefined;
}

const root = createRootRouteWithContext<{ queries: QueryClient }>()({ component: Outlet });

const login = createRoute({
  getParentRoute: () => root,
  path: "/login",
  validateSearch: (search): { next?: string | undefined } => ({ next: localPath(search.next) }),
  component: lazyRouteComponent(() => import("./pages/login"), "LoginPage"),
});

const app = createRoute({
  getParentRoute: () => root,
  id: "app",
  component: AppShell,
  beforeLoad: async ({ context, location }) => {
    try {
      await context.queries.ensureQueryData(meQuery());
    } catch (error) {
      if (error instanceof ProblemError && error.status === 401)
        throw redirect({ to: "/login", search: location.href === "/" ? {} : { next: location.href } });
      throw error;
    }
  },
});

const home = createRoute({
  getParentRoute: () => app,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/projects", replace: true });
  },
});

const projects = createRoute({
  getParentRoute: () => app,
  path: "/projects",
  component: lazyRouteComponent(() => import("./pages/projects"), "ProjectsPage"),
});

const newProject = createRoute({
  getParentRoute: () => app,
  path: "/projects/new",
  component: lazyRouteComponent(() => import("./pages/new-project"), "NewProjectPage"),
});

export const PROJECT_TABS = ["runs", "videos", "data-sets", "models", "settings"] as const;
export type ProjectTab = (typeof PROJECT_TABS)[number];

const project = createRoute({
  getParentRoute: () => app,
  path: "/projects/$projectId",
  validateSearch: (search): { tab?: ProjectTab | undefined } => ({
    tab: PROJECT_TABS.find((tab) => tab === search.tab),
  }),
  component: lazyRouteComponent(() => import("./pages/project/project"), "ProjectPage"),
});

const dataSet = createRoute({
  getParentRoute: () => app,
  path: "/data-sets/$dataSetId",
  validateSearch: (search): { version?: number | undefined } => ({
    version: Number.isInteger(search.version) ? Number(search.version) : undefined,
  }),
  component: lazyRouteComponent(() => import("./pages/data-set/data-set"), "DataSetPage"),
});

const truth = createRoute({
  getParentRoute: () => app,
  path: "/ground-truths/$truthId",
  component: lazyRouteComponent(() => import("./pages/truth"), "TruthPage"),
});

const run = createRoute({
  getParentRoute: () => app,
  path: "/runs/$runId",
  component: lazyRouteComponent(() => import("./pages/run/run"), "RunPage"),
});

const cameras = createRoute({
  getParentRoute: () => app,
  path: "/cameras",
  component: lazyRouteComponent(() => import("./pages/cameras"), "CamerasPage"),
});

const live = createRoute({
  getParentRoute: () => app,
  path: "/live",
  component: lazyRouteComponent(() => import("./pages/live/live"), "LivePage"),
});

export function makeRouter(queries: QueryClient) {
  return createRouter({
    routeTree: root.addChildren([
      login,
      app.addChildren([home, projects, newProject, project, dataSet, truth, run, cameras, live]),
    ]),
    context: { queries },
    defaultPreload: "intent",
    defaultErrorComponent: Failed,
    defaultNotFoundComponent: NotFound,
    defaultPendingComponent: Loading,
    scrollRestoration: true,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
