package main

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
)

func TestRecurringOracle(t *testing.T) {
	const first, second5, third = "2026-11-23T12:00:10", "2026-11-23T12:00:15", "2026-11-23T12:00:20"
	came := func(occurrence string, at float64) told {
		return told{id: uuid.New(), occurrence: occurrence, at: second(at)}
	}
	all := []told{came(first, 10.1), came(second5, 15.1), came(third, 20.1)}
	for name, test := range map[string]struct {
		inbox  []told
		missed []string
		ended  *op
		events int // besides one for each in the inbox
		want   []string
	}{
		"all":                      {all, nil, nil, 0, nil},
		"one is lost":              {all[:2], nil, nil, 0, []string{"lost"}},
		"one is missed":            {all[1:], []string{first}, nil, 0, nil},
		"one twice":                {append(slices.Clone(all), came(third, 21)), nil, nil, 0, []string{"duplicate"}},
		"early":                    {[]told{came(first, 9), all[1], all[2]}, nil, nil, 0, []string{"early"}},
		"another one":              {append(slices.Clone(all), came("2026-11-23T12:00:25", 25)), nil, nil, 0, []string{"wrong"}},
		"ended":                    {all[:1], nil, &op{kind: complete, sent: second(11), settled: second(12)}, 0, nil},
		"ended, and told":          {all, nil, &op{kind: complete, sent: second(11), settled: second(12)}, 0, []string{"cancelled", "cancelled", "cancelled", "cancelled"}},
		"ended about when one was": {all[:1], nil, &op{kind: remove, sent: second(9), settled: second(11)}, 0, nil},
		"no event":                 {all, nil, nil, -1, []string{"lost"}},
	} {
		t.Run(name, func(t *testing.T) {
			local := first
			l := &life{script: script{n: 1, recurs: 3, channels: []string{"in_app", "email"}}, id: uuid.New(), missed: test.missed}
			l.ops = []op{{kind: create, sent: zero, settled: second(1), task: api.Task{DueLocal: &local, CreatedAt: zero}}}
			if test.ended != nil {
				l.ops = append(l.ops, *test.ended)
			}
			c := arrivals{inbox: test.inbox, events: make([]told, len(test.inbox)+test.events), external: map[string][]told{}}
			for _, m := range test.inbox {
				c.external["email"] = append(c.external["email"], told{id: m.id, at: m.at})
			}
			var tally tally
			tally.judge(l, c, nil, second(60))
			var got []string
			for _, f := range tally.findings {
				got = append(got, f.what)
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s%v", diff, tally.findings)
			}
		})
	}
}
