package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticks are how many parts of a second Linux counts processor time in.
const ticks = 100

// cpu is how much processor time each process has used, its children included.
func (w *world) cpu() map[string]time.Duration {
	names := map[string]string{strconv.Itoa(os.Getpid()): "the benchmark"}
	for _, name := range w.sys.Processes() {
		names[strconv.Itoa(w.sys.Process(name).PID())] = name
	}
	names[strconv.Itoa(w.raw.daprd.PID())] = "daprd"
	used := map[string]time.Duration{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state ppid ... utime stime, the 14th and 15th
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 13 {
			continue
		}
		name, ok := names[filepath.Base(filepath.Dir(path))]
		if !ok {
			if name, ok = names[fields[1]]; !ok {
				continue
			}
		}
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		used[name] += time.Duration(user+system) * time.Second / ticks
	}
	return used
}

// spent adds to the figures how much processor time each process has used since, for
// each of n.
func (w *world) spent(f figures, what string, n int, before map[string]time.Duration) {
	for name, now := range w.cpu() {
		if used := now - before[name]; used > 0 {
			f.add(fmt.Sprintf("cpu_us_per_%s %s", what, name), float64(used.Microseconds())/float64(n))
		}
	}
}
