package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// idleFor is for how long nothing happens while it is measured what is awake.
const idleFor = 3 * time.Minute

// use is what a pod has been seen to use.
type use struct {
	name      string
	seen      int // times, once a second
	first, to float64
	rss       float64 // bytes, the most
}

// idle measures what is awake while nothing happens. Only what is documented may be.
func idle(ctx context.Context, l *lab) (string, error) {
	var functions []string
	said, err := l.kubectl(ctx, "-n", "duebell", "get", "services.serving.knative.dev", "-o", "jsonpath={.items[*].metadata.name}")
	for _, f := range strings.Fields(said) {
		if f != "retry-dlq" {
			functions = append(functions, f)
		}
	}
	if err == nil {
		err = l.atZero(ctx, functions...)
	}
	if err != nil {
		return "", err
	}
	pods, seconds := map[string]*use{}, 0
	for began := time.Now(); time.Since(began) < idleFor; seconds++ {
		if err := l.sample(ctx, pods, seconds == 0); err != nil {
			return "", err
		}
		time.Sleep(time.Until(began.Add(time.Duration(seconds+1) * time.Second)))
	}
	// By what the pods are called before what is made up.
	type kind struct{ seconds, cpu, rss float64 }
	kinds := map[string]kind{}
	for _, p := range pods {
		name := strings.Split(strings.TrimSuffix(p.name, "-deployment"), "-000")[0]
		if strings.HasPrefix(name, "daprd") {
			name = "daprd"
			for _, subscriber := range []string{"audit-log", "analytics"} {
				if strings.HasPrefix(p.name, "daprd-"+subscriber) {
					name = "daprd-" + subscriber
				}
			}
		}
		k := kinds[name]
		kinds[name] = kind{k.seconds + float64(p.seen), k.cpu + p.to - p.first, max(k.rss, p.rss)}
	}
	var saw []string
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		k := kinds[name]
		saw = append(saw, fmt.Sprintf("%s: %.0f%% of the time, %.0f MB, %.1f s of processor an hour",
			name, 100*k.seconds/float64(seconds), k.rss/1e6, k.cpu*3600/float64(seconds)))
		if !slices.Contains([]string{"daprd", "daprd-audit-log", "daprd-analytics", "retry-dlq"}, name) {
			err = errors.Join(err, fmt.Errorf("%s is awake", name))
		}
	}
	return strings.Join(saw, "\n"), err
}

// sample adds what each pod of duebell uses now. A pod that was not there at the start began with nothing.
func (l *lab) sample(ctx context.Context, pods map[string]*use, atStart bool) error {
	said, err := l.kubectl(ctx, "-n", "duebell", "get", "pods", "--field-selector=status.phase=Running", "-o",
		`jsonpath={range .items[*]}{.metadata.uid}{" "}{.metadata.name}{"\n"}{end}`)
	if err != nil {
		return err
	}
	for _, line := range strings.Split(strings.TrimSpace(said), "\n") {
		uid, name, _ := strings.Cut(line, " ")
		cpu, rss, ok := l.used(uid)
		if !ok {
			continue // it has just gone
		}
		p := pods[uid]
		if p == nil {
			p = &use{name: name}
			if atStart { // what it has used before does not count
				p.first = cpu
			}
			pods[uid] = p
		}
		p.seen++
		p.to, p.rss = cpu, max(p.rss, rss)
	}
	return nil
}

// used returns the seconds of processor that a pod has used, and the bytes of memory that
// its programs have.
func (l *lab) used(uid string) (cpu, rss float64, ok bool) {
	number := func(controller, file, key string) (float64, bool) {
		found, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup", controller, l.name(), "kubepods", "*", "pod"+uid, file))
		if len(found) == 0 {
			found, _ = filepath.Glob(filepath.Join("/sys/fs/cgroup", controller, l.name(), "kubepods", "pod"+uid, file))
		}
		if len(found) != 1 {
			return 0, false
		}
		content, err := os.ReadFile(found[0])
		if err != nil {
			return 0, false
		}
		for _, line := range strings.Split(string(content), "\n") {
			name, value, cut := strings.Cut(line, " ")
			if !cut {
				name, value = "", name
			}
			if name == key {
				n, err := strconv.ParseFloat(value, 64)
				return n, err == nil
			}
		}
		return 0, false
	}
	if n, ok := number("cpuacct", "cpuacct.usage", ""); ok { // cgroup v1
		rss, ok = number("memory", "memory.stat", "total_rss")
		return n / 1e9, rss, ok
	}
	if n, ok := number("", "cpu.stat", "usage_usec"); ok { // v2
		rss, ok = number("", "memory.stat", "anon")
		return n / 1e6, rss, ok
	}
	return 0, 0, false
}
