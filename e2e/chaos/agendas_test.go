package main

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/sandbox"
)

func TestJudgeAgenda(t *testing.T) {
	first, second := uuid.New(), uuid.New()
	at := func(seconds int, id uuid.UUID, cut bool) told {
		return told{id: id, provider: sandbox.SendGrid, at: zero.Add(time.Duration(seconds) * time.Second), cut: cut}
	}
	for what, tt := range map[string]struct {
		came   []told
		faults []struck
		want   []string
	}{
		"once":                             {[]told{at(1, first, false)}, nil, nil},
		"never":                            {nil, nil, []string{"lost"}},
		"early":                            {[]told{at(-1, first, false)}, nil, []string{"early"}},
		"late":                             {[]told{at(31, first, false)}, nil, []string{"late"}},
		"late, while something was broken": {[]told{at(31, first, false)}, []struck{{name: "kill daprd", part: "daprd", from: zero, to: zero.Add(time.Second)}}, nil},
		"twice":                            {[]told{at(1, first, false), at(9, first, false)}, nil, []string{"duplicate"}},
		"twice, cut":                       {[]told{at(1, first, true), at(9, first, false)}, nil, nil},
		"two of one day":                   {[]told{at(1, first, true), at(9, second, false)}, nil, []string{"duplicate"}},
	} {
		var got tally
		got.judgeAgenda(&life{script: script{user: firstAgenda}}, zero, tt.came, tt.faults)
		var found []string
		for _, f := range got.findings {
			found = append(found, f.what)
		}
		if !slices.Equal(found, tt.want) || got.agendas != 1 {
			t.Errorf("%s: found %v, want %v", what, got.findings, tt.want)
		}
	}
}

// The user is found in the subject of an agenda. A task's message is not taken for an agenda.
func TestWhoseAgenda(t *testing.T) {
	if user, ok := ofAgenda(sandbox.Message{Subject: "1 overdue: " + agendaTask(31)}); !ok || user != 31 {
		t.Errorf("it is of %d, %v", user, ok)
	}
	if _, ok := ofAgenda(sandbox.Message{Subject: script{n: 31}.title(1)}); ok {
		t.Error("a task's message is taken for an agenda")
	}
	for span, want := range map[time.Duration]int{time.Minute: 0, 2 * time.Minute: 1, 200 * time.Second: 3} {
		if minutes := agendaMinutes(zero, span); len(minutes) != want {
			t.Errorf("%d minutes of %v: %v", len(minutes), span, minutes)
		}
	}
}
