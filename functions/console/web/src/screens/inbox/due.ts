// When a notification's task was due, as its body says it: "Due Tue, 1 Dec 2026 09:00 CET (UTC+01:00)". The API has it nowhere else.
const months = [["jan"], ["feb"], ["mar", "mär"], ["apr"], ["may", "mai"], ["jun"], ["jul"], ["aug"], ["sep"], ["oct", "okt"], ["nov"], ["dec", "dez"]]
const sentence = /^(?:Due|Fällig am) \S+, (\d{1,2})\.? (\p{L}{3})\S* (\d{4}),? (\d\d:\d\d(?::\d\d)?) (?:UTC$|.*\(?UTC([+-]\d\d:\d\d)\)?$)/u

/** Returns the due date that a body consists of, in one of the languages of messages; undefined: it says something else. */
export function dueOf(body: string): string | undefined {
  const [, day, name, year, time, offset] = sentence.exec(body) ?? []
  const month = months.findIndex((names) => names.includes(name?.toLowerCase() ?? "")) + 1
  if (!day || !month) return undefined
  const two = (n: string | number) => String(n).padStart(2, "0")
  return new Date(`${year}-${two(month)}-${two(day)}T${time}${offset ?? "Z"}`).toISOString()
}
