// Puts a compressed copy beside each file of dist, .gz and .br, where that is smaller:
// the function then has nothing to compress.
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { brotliCompressSync, constants, gzipSync } from "node:zlib"

const dist = new URL("../dist", import.meta.url).pathname

for (const file of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  const path = join(file.parentPath, file.name)
  if (!file.isFile() || /\.(gz|br)$/.test(path)) continue
  const content = readFileSync(path)
  const copies = {
    ".gz": gzipSync(content, { level: 9 }),
    ".br": brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }),
  }
  for (const [ending, copy] of Object.entries(copies)) {
    if (copy.length < content.length) writeFileSync(path + ending, copy)
  }
}
