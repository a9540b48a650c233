import { useMutation, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { LogOut } from "lucide-react";
import { logOut } from "@/api/calls";
import { meQuery } from "@/api/queries";
import { cn } from "@/lib/cn";
import { UploadsNote } from "./file-upload";
import { Logo } from "./logo";
import { Button } from "./ui/button";

const LINK =
  "rounded-md px-2.5 py-1.5 font-medium text-ink-soft hover:bg-sunken hover:text-ink data-[status=active]:text-ink data-[status=active]:bg-sunken";

/** The bar on top of every page but the log-in. */
export function AppShell() {
  const { data: user } = useSuspenseQuery(meQuery());
  const queries = useQueryClient();
  const navigate = useNavigate();
  // Runs and ground truth belong to projects, though their addresses do not say so.
  const inProjects = useLocation({ select: ({ pathname }) => /^\/(runs|ground-truths)\//.test(pathname) });
  const leave = useMutation({
    mutationFn: logOut,
    onSuccess: async () => {
      await navigate({ to: "/login" });
      queries.clear();
    },
  });
  return (
    <div className="flex min-h-dvh flex-col">
      <a
        href="#content"
        className="sr-only focus:not-sr-only focus:absolute focus:top-2 focus:left-2 focus:z-50 focus:rounded-md focus:bg-surface focus:px-3 focus:py-2"
      >
        Skip to content
      </a>
      <header className="border-line border-b bg-surface">
        <div className="mx-auto flex h-12 w-full max-w-[1500px] items-center gap-x-5 px-4 sm:px-6">
          <Link to="/projects" className="flex items-center gap-2 font-semibold tracking-tight">
            <Logo className="size-5.5 text-accent" />
            <span className="max-sm:sr-only">VRU Platform</span>
          </Link>
          <nav aria-label="Main" className="flex items-center gap-1">
            <Link to="/projects" className={cn(LINK, inProjects && "bg-sunken text-ink")}>
              Projects
            </Link>
            <Link to="/cameras" className={LINK}>
              Cameras
            </Link>
            <Link to="/live" className={LINK}>
              Live
            </Link>
            <a href="/docs" className={LINK}>
              API
            </a>
          </nav>
          <div className="ml-auto flex min-w-0 items-center gap-1.5">
            <UploadsNote />
            <span className="truncate text-[13px] text-ink-soft max-sm:hidden" title={`Role: ${user.role}`}>
              {user.email}
            </span>
            <Button
              look="quiet"
              size="icon"
              aria-label="Log out"
              title="Log out"
              onClick={() => leave.mutate()}
            >
              <LogOut />
            </Button>
          </div>
        </div>
      </header>
      <main id="content" tabIndex={-1} className="flex-1 outline-none">
        <Outlet />
      </main>
    </div>
  );
}
