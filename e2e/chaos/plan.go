package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// struck is a fault that happened.
type struck struct {
	name, part string
	gentle     bool
	from, to   time.Time
}

// planned is a fault, and when it begins.
type planned struct {
	fault
	at time.Duration
}

// When faults begin, in hundredths of the span: first any, and then, after a time to recover, only
// gentle ones.
const (
	anyFrom, anyTo       = 5, 50
	gentleFrom, gentleTo = 70, 90
	// longFrom is when long faults begin, before the other gentle ones.
	longFrom = 66
)

// plan returns which faults begin when, of those whose names match: each that breaks something
// once, and any of them again while there is room; then each gentle one. The same seed makes the
// same plan.
func plan(seed uint64, all []fault, match *regexp.Regexp, span time.Duration) (plan []planned) {
	all = slices.DeleteFunc(slices.Clone(all), func(f fault) bool { return !match.MatchString(f.name) })
	r := rand.New(rand.NewPCG(seed, 2))
	add := func(f fault, from, to time.Duration) {
		plan = append(plan, planned{f, span*from/100 + time.Duration(r.Int64N(int64(span*(to-from)/100)))})
	}
	// One begins every second or so. Many of them last longer.
	room := int(span * (anyTo - anyFrom) / 100 / time.Second)
	busy := map[string]time.Duration{} // faults of one part take turns
	for first, more := true, len(all) > 0; more && (first || len(plan) < room); first = false {
		more = first
		for _, i := range r.Perm(len(all)) {
			f := all[i]
			if first && f.gentle || !first && (len(plan) >= room || busy[f.part]+f.lasts > span*(anyTo-anyFrom)/100) {
				continue
			}
			more = true
			busy[f.part] += max(f.lasts, time.Second)
			add(f, anyFrom, anyTo)
		}
	}
	for _, f := range all {
		switch {
		case !f.gentle:
		case f.lasts > span*(gentleTo-gentleFrom)/100:
			plan = append(plan, planned{f, span * longFrom / 100})
		default:
			add(f, gentleFrom, gentleTo)
		}
	}
	slices.SortStableFunc(plan, func(a, b planned) int { return int(a.at - b.at) })
	return plan
}

// strike runs the plan. It returns when all faults have ended.
func (run *run) strike(ctx context.Context, plan []planned) {
	parts := map[string]*sync.Mutex{}
	for _, p := range plan {
		parts[p.part], parts[p.also] = &sync.Mutex{}, &sync.Mutex{}
	}
	var striking sync.WaitGroup
	for _, p := range plan {
		striking.Go(func() {
			run.wait(ctx, p.at)
			parts[p.part].Lock()
			defer parts[p.part].Unlock()
			if p.also != "" {
				parts[p.also].Lock()
				defer parts[p.also].Unlock()
			}
			if ctx.Err() != nil {
				return
			}
			from := time.Now()
			run.say("✗ %s", p.name)
			heal, err := p.strike(ctx, run)
			if err != nil {
				run.say("  %s: %v", p.name, err)
			}
			if heal != nil {
				select {
				case <-time.After(p.lasts):
				case <-ctx.Done():
				}
				heal()
			}
			to := time.Now()
			if p.part == "postgres" {
				run.wait(ctx, time.Since(run.began)+5*time.Second) // for what waits to be recorded
			}
			run.mu.Lock()
			defer run.mu.Unlock()
			run.struck = append(run.struck, struck{p.name, p.part, p.gentle, from, to})
		})
	}
	striking.Wait()
}

// isSenderAway reports whether a fault killed or stopped a process that sends.
func (s struck) isSenderAway() bool {
	return slices.Contains(senders, s.part) && (strings.HasPrefix(s.name, "kill ") || strings.HasPrefix(s.name, "pause "))
}

func (s struck) String() string {
	return fmt.Sprintf("%s %s for %v", clock(s.from), s.name, s.to.Sub(s.from).Round(time.Millisecond))
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }
