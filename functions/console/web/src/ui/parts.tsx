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

interface FieldProps {
  label: string
  hint?: ComponentChildren
  error?: string
  children: (ids: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ComponentChildren
}

/** An input with its label. Below it are a hint, and the error in what was typed. */
export function Field({ label, hint, error, children }: FieldProps) {
  const id = useId()
  const about = [hint && id + "-hint", error && id + "-error"].filter(Boolean).join(" ")
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, ...(about && { "aria-describedby": about }), ...(error && { "aria-invalid": true }) })}
      {hint && <small id={id + "-hint"}>{hint}</small>}
      <Wrong id={id + "-error"} text={error} />
    </div>
  )
}

/** The error in a field. A screen reader reads it at once. */
export function Wrong({ id, text }: { id?: string; text?: string }) {
  return <div role="alert">{text && <p id={id} class="wrong">{text}</p>}</div>
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

/** A dialog. It is the browser's own, which keeps the focus inside. A click outside closes it. */
export function Dialog({ title, class: more, onClose, children }: { title: string; class?: string; onClose(): void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const before = document.activeElement
    dialog.current!.showModal()
    // The dialog is removed while it is open, so the browser does not return the focus.
    return () => { if (before instanceof HTMLElement && before.isConnected) before.focus() }
  }, [])
  return (
    <dialog ref={dialog} class={more} aria-labelledby={id} onClose={onClose} onClick={(e) => { if (e.target === e.currentTarget) onClose() }}>
      <div class="dialog-content">
        <h2 id={id}>{title}</h2>
        {children}
      </div>
    </dialog>
  )
}

/** A dialog that asks before an action that can't be undone. */
export function Confirm({ title, text, action, onConfirm, onClose }: { title: string; text: string; action: string; onConfirm(): void; onClose(): void }) {
  return (
    <Dialog title={title} onClose={onClose}>
      <p>{text}</p>
      <div class="actions">
        <Button onClick={onClose} autofocus>{t().cancel}</Button>
        <Button kind="danger" onClick={() => { onConfirm(); onClose() }}>{action}</Button>
      </div>
    </Dialog>
  )
}
