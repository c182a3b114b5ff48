package auth

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// refusal says why a token is refused, for the log only. It never holds the token.
type refusal struct {
	reason         string // one of a few
	expected, came string
}

// refuse says for which reason a token is refused, what was expected, and what came.
func refuse(reason, expected, came string, args ...any) *refusal {
	return &refusal{reason, expected, fmt.Sprintf(came, args...)}
}

// Error implements error.
func (r *refusal) Error() string {
	return fmt.Sprintf("%s: expected %s, came %s", r.reason, r.expected, r.came)
}

// shown is a claim for the log, as Go or JSON. The sender may have made it up, so it is cut
// to a length.
func shown(claim any) string {
	const limit = 200
	text, isJSON := claim.(jsontext.Value)
	if !isJSON {
		text = fmt.Appendf(nil, "%q", claim)
	}
	if len(text) > limit {
		return strings.ToValidUTF8(string(text[:limit]), "") + "…"
	}
	return string(text)
}

// refusalInterval is how often one reason is logged at most.
const refusalInterval = time.Second

// refusals logs why tokens are refused, each reason once in an interval, however many
// come.
type refusals struct {
	mu      sync.Mutex
	reasons map[string]*unlogged
}

// unlogged counts the refusals for one reason since its last line in the log.
type unlogged struct {
	since time.Time
	n     int
}

func (l *refusals) log(ctx context.Context, r *refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	before := l.reasons[r.reason]
	if before != nil && now.Sub(before.since) < refusalInterval {
		before.n++
		return
	}
	if l.reasons == nil {
		l.reasons = map[string]*unlogged{}
	}
	l.reasons[r.reason] = &unlogged{since: now}
	more := 0
	if before != nil {
		more = before.n
	}
	slog.InfoContext(ctx, "a token was refused",
		"reason", r.reason, "expected", r.expected, "came", r.came, "not_logged", more)
}
