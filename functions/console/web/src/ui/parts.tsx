import type { ComponentChildren, JSX } from "preact"
import { useEffect, useId, useRef } from "preact/hooks"
import type { Problem } from "../api/client"
import { locale, t } from "../text"
import { exact, short } from "../times"
import { useNow, useShared } from "./context"

type ButtonProps = JSX.IntrinsicElements["button"] & { kind?: "primary" | "danger" | "quiet" }

export function Button({ kind, class: more, ...rest }: ButtonProps) {
  return <button type="button" {...rest} class={`button ${kind ?? ""} ${(more as string | undefined) ?? ""}`} />
}

/** A screen's frame. Whoever comes to it by keyboard or screen reader begins at its heading. */
export function Screen({ title, aside, children }: { title: string; aside?: ComponentChildren; children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => heading.current?.focus({ preventScroll: true }), [])
  return (
    <div class="screen">
      <header class="screen-head">
        <h1 ref={heading} tabIndex={-1}>{title}</h1>
        {aside}
      </header>
      {children}
    </div>
  )
}

/** An input with its label, and a hint below it. */
export function Field({ label, hint, children }: { label: string; hint?: ComponentChildren; children: (ids: { id: string; "aria-describedby"?: string }) => ComponentChildren }) {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(hint ? { id, "aria-describedby": id + "-hint" } : { id })}
      {hint && <small id={id + "-hint"}>{hint}</small>}
    </div>
  )
}

/** A choice of one of a few. */
export function Choice<T extends string>({ label, value, options, onChange }: { label: string; value: T; options: Record<T, string>; onChange: (value: NoInfer<T>) => void }) {
  const id = useId()
  return (
    <div class="choice">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(e) => onChange(e.currentTarget.value as T)}>
        {(Object.entries(options) as [T, string][]).map(([key, text]) => (
          <option key={key} value={key}>{text}</option>
        ))}
      </select>
    </div>
  )
}

/** Why something has failed, and how to try again. */
export function Trouble({ problem, retry }: { problem: Problem; retry?: () => void }) {
  return (
    <div class="trouble" role="alert">
      <p>{t().problem(problem)}</p>
      {retry && <Button onClick={retry}>{t().retry}</Button>}
    </div>
  )
}

/** What is shown where nothing is. */
export function Empty({ title, text, children }: { title: string; text: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      <p>{text}</p>
      {children}
    </div>
  )
}

export function Loading() {
  return <p class="loading" role="status">{t().loading}</p>
}

/** A point in time, in few words; the exact one is told on hover. */
export function Time({ at, class: more }: { at: string; class?: string }) {
  const { zone } = useShared()
  const now = useNow(30_000)
  return <time dateTime={at} title={exact(at, locale(), zone)} class={more}>{short(at, now, locale(), zone)}</time>
}

/** A dialog that asks before something is done that can't be undone. It is the browser's own, which keeps the focus in it. */
export function Confirm({ title, text, action, onConfirm, onClose }: { title: string; text: string; action: string; onConfirm(): void; onClose(): void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => dialog.current!.showModal(), [])
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={onClose}>
      <h2 id={id}>{title}</h2>
      <p>{text}</p>
      <div class="actions">
        <Button onClick={onClose} autofocus>{t().cancel}</Button>
        <Button kind="danger" onClick={() => { onConfirm(); onClose() }}>{action}</Button>
      </div>
    </dialog>
  )
}
