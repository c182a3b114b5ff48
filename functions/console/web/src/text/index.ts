// The language of the console: what was chosen here, or else the browser's.
import { en, type Texts } from "./en"
import { de } from "./de"

export type { Texts }
export const languages: Record<string, Texts> = { en, de }

const key = "duebell.language"
const known = (tag: string | null | undefined) => {
  const language = tag?.slice(0, 2).toLowerCase() ?? ""
  return language in languages ? language : undefined
}

let current = known(localStorage.getItem(key)) ?? navigator.languages.map(known).find(Boolean) ?? "en"

/** The language's two letters. */
export const language = () => current

/** The language as Intl takes it, with the browser's region if it has one: en-GB. */
export const locale = () => navigator.languages.find((tag) => known(tag) === current) ?? current

/** The texts in the current language. */
export const t = () => languages[current]!

/** Chooses a language for this browser. Whoever shows texts has to be drawn anew. */
export function choose(tag: string) {
  current = known(tag) ?? current
  localStorage.setItem(key, current)
  document.documentElement.lang = current
}

document.documentElement.lang = current
