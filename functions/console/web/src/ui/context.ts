// What every screen needs: the API, who is signed in, and what they have chosen.
import { createContext } from "preact"
import { useContext, useEffect, useState } from "preact/hooks"
import { Problem, type Client, type Preferences } from "../api/client"
import type { Inbox } from "../screens/inbox/store"
import type { Session } from "../sign-in"

export interface Shared {
  client: Client
  session: Session
  inbox: Inbox
  preferences: { value: Preferences; etag: string }
  setPreferences(value: Preferences, etag: string): void
  /** Whether single keys act, on all screens. setKeys stores it in this browser. */
  keys: boolean
  setKeys(on: boolean): void
  /** The zone in which times are shown. */
  zone: string
  /** Shows a notice for a moment, which screen readers read, too. The notice offers undo, if it is given. */
  say(text: string, kind?: "problem", undo?: () => void): void
  /** Undoes what the latest notice says, while it is shown and can be undone. */
  undo?: () => void
}

const Context = createContext<Shared | null>(null)
export const SharedProvider = Context.Provider

export function useShared(): Shared {
  return useContext(Context)!
}

/** What is being fetched: nothing yet, the answer, or why there is none. */
export interface Fetched<T> {
  value?: T
  problem?: Problem
  reload(): void
  set(value: T): void
}

/** Fetches something when a screen is shown, and again when what it depends on changes. */
export function useFetched<T>(fetch: () => Promise<T>, on: unknown[]): Fetched<T> {
  const [state, setState] = useState<{ value?: T; problem?: Problem }>({})
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    let wanted = true
    fetch().then(
      (value) => wanted && setState({ value }),
      (error: unknown) => wanted && setState((old) => ({ value: old.value, problem: asProblem(error) })),
    )
    return () => {
      wanted = false
    }
  }, [...on, turn])
  return { ...state, reload: () => setTurn((n) => n + 1), set: (value) => setState({ value }) }
}

/** Any error as a Problem: one that is none is ours, and belongs into the browser's console. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  console.error(error)
  return new Problem(-1, String(error))
}

/** The time, which goes on once in so many milliseconds. */
export function useNow(every: number): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every)
    return () => clearInterval(timer)
  }, [every])
  return now
}
