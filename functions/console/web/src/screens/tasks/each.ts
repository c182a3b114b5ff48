// Many requests, a few at a time.
import { Problem } from "../../api/client"
import { asProblem } from "../../ui/context"

const atOnce = 4
const tries = 5

const seconds = (n: number) => new Promise<void>((resolve) => setTimeout(resolve, 1000 * n))

/** Calls act for each item, a few at a time, as long as wanted returns true. An item that the API answers with 429 or
 * 503 is tried up to five times, with growing pauses. Returns the errors of the items that failed. */
export async function each<T>(items: readonly T[], act: (item: T) => Promise<void>, wanted: () => boolean, onDone: () => void, pause = seconds): Promise<Map<T, Problem>> {
  const failed = new Map<T, Problem>()
  const waiting = [...items]
  const one = async (item: T) => {
    for (let n = 1; ; n++) {
      try {
        return await act(item)
      } catch (error) {
        if (!(error instanceof Problem) || ![429, 503].includes(error.status) || n === tries) return void failed.set(item, asProblem(error))
        await pause(2 ** (n - 1))
      }
    }
  }
  const worker = async () => {
    while (wanted() && waiting.length > 0) {
      await one(waiting.shift() as T)
      onDone()
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return failed
}
