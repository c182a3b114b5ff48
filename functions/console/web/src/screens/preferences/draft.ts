// A part of the preferences while the user changes it.
import { useEffect, useRef, useState } from "preact/hooks"

const settled = 800

/** Keeps a draft, and saves it once it has not changed for a moment, or when the user leaves the screen. If it can't
 * be saved, the draft stays as it is, and wrong says why. check may find that before the draft is sent. */
export function useDraft<T>(stored: T, save: (draft: T, onWrong: (text: string | undefined) => void) => Promise<boolean>, check?: (draft: T) => string | undefined) {
  const [draft, setDraft] = useState(stored)
  const [wrong, setWrong] = useState<string>()
  const waiting = useRef<{ draft: T; timer: number } | undefined>(undefined)
  const saving = useRef(0)
  const latest = useRef(stored)
  latest.current = stored
  const last = useRef(save)
  last.current = save
  const flush = () => {
    if (!waiting.current) return
    const { draft, timer } = waiting.current
    clearTimeout(timer)
    waiting.current = undefined
    saving.current++
    let told = false
    const onWrong = (text: string | undefined) => {
      told = text !== undefined
      setWrong(text)
    }
    void last.current(draft, onWrong).then((saved) => {
      saving.current--
      if (!saved && !told) setDraft(latest.current) // the preferences were changed elsewhere
    })
  }
  useEffect(() => flush, [])
  useEffect(() => { if (!waiting.current && saving.current === 0) setDraft(stored) }, [JSON.stringify(stored)])
  return {
    draft, wrong,
    /** Changes the draft. now saves it at once. */
    change(next: T, now = false) {
      clearTimeout(waiting.current?.timer)
      waiting.current = undefined
      setDraft(next)
      const problem = check?.(next)
      setWrong(problem)
      if (problem !== undefined) return
      waiting.current = { draft: next, timer: window.setTimeout(flush, settled) }
      if (now) flush()
    },
    flush,
  }
}
