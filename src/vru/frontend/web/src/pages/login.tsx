import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, useEffect } from "react";
import { logIn } from "@/api/calls";
import { meQuery } from "@/api/queries";
import { Logo } from "@/components/logo";
import { ProblemNotice } from "@/components/problem-notice";
import { Button } from "@/components/ui/button";
import { Field, Input } from "@/components/ui/field";

export function LoginPage() {
  const { next } = useSearch({ from: "/login" });
  const navigate = useNavigate();
  const queries = useQueryClient();
  useEffect(() => {
    document.title = "Log in – VRU Platform";
  }, []);

  const enter = useMutation({
    mutationFn: logIn,
    onSuccess: async (user) => {
      queries.setQueryData(meQuery().queryKey, user);
      await navigate({ href: next ?? "/projects", replace: true });
    },
  });

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    enter.mutate({ email: String(form.get("email")).trim(), password: String(form.get("password")) });
  }

  return (
    <main className="grid min-h-dvh place-items-center px-4 py-10">
      <div className="w-full max-w-88">
        <div className="mb-6 flex items-center gap-2.5">
          <Logo className="size-8 text-accent" />
          <h1 className="text-xl tracking-tight">VRU Platform</h1>
        </div>
        <form onSubmit={submit} className="flex flex-col gap-4 rounded-lg border border-line bg-surface p-5">
          <Field label="Email">
            {(attributes) => (
              <Input {...attributes} name="email" type="email" autoComplete="username" required autoFocus />
            )}
          </Field>
          <Field label="Password">
            {(attributes) => (
              <Input
                {...attributes}
                name="password"
                type="password"
                autoComplete="current-password"
                required
              />
            )}
          </Field>
          <ProblemNotice error={enter.error} />
          <Button type="submit" look="primary" disabled={enter.isPending}>
            {enter.isPending ? "Logging in" : "Log in"}
          </Button>
        </form>
        <p className="mt-4 text-[13px] text-ink-faint leading-relaxed">
          Evidence that a model or a camera detects vulnerable road users well and soon enough.
        </p>
      </div>
    </main>
  );
}
