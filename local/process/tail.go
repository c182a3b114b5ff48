package process

import (
	"io"
	"os"
	"strings"
)

// Tail returns up to n of the last lines that a file holds after byte from. A
// file that cannot be read has none.
func Tail(path string, from int64, n int) []string {
	const window = 16 << 10
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size()-from > window {
		from = info.Size() - window
	}
	text, err := io.ReadAll(io.NewSectionReader(f, from, window))
	if err != nil {
		return nil
	}
	trimmed := strings.TrimSpace(string(text))
	if trimmed == "" {
		return nil
	}
	lines := strings.Split(trimmed, "\n")
	return lines[max(0, len(lines)-n):]
}
