package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/system"
)

// screen writes for people: a line for each thing that is done and, on a terminal, what is being
// done below them. It is safe for concurrent use.
type screen struct {
	mu    sync.Mutex
	out   io.Writer
	live  bool // a terminal: lines can be rewritten, and have colours
	doing map[string]string
	order []string
	shown int // lines of doing on the screen
	said  map[string]time.Time
}

var (
	good    = lipgloss.NewStyle().Foreground(lipgloss.Green)
	warning = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	bad     = lipgloss.NewStyle().Foreground(lipgloss.Red).Bold(true)
	faint   = lipgloss.NewStyle().Faint(true)
	bold    = lipgloss.NewStyle().Bold(true)
)

func newScreen(out *os.File) *screen {
	return &screen{out: out, live: isTerminal(out), doing: map[string]string{}, said: map[string]time.Time{}}
}

func isTerminal(out *os.File) bool {
	info, err := out.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// step shows the progress of a part of the start.
func (s *screen) step(step system.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if step.Done {
		delete(s.doing, step.Name)
		s.print(s.entry(good, "✓", step.Name, fmt.Sprintf("%s %s", step.Text, s.style(faint, took(step.Took)))))
		return
	}
	if _, known := s.doing[step.Name]; !known {
		s.order = append(s.order, step.Name)
	}
	s.doing[step.Name] = step.Text
	if s.live {
		s.print()
		return
	}
	// Without a terminal, long steps print a line now and then.
	if last, before := s.said[step.Name]; !before {
		s.said[step.Name] = time.Now()
	} else if time.Since(last) > 10*time.Second {
		s.said[step.Name] = time.Now()
		s.print(s.entry(faint, "…", step.Name, step.Text))
	}
}

// over removes what step shows.
func (s *screen) over(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.doing, name)
	s.print()
}

// event shows that a process has died.
func (s *screen) event(e process.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.print(s.entry(bad, "✗", e.Name, e.String()))
}

// line shows that something was done.
func (s *screen) line(name, format string, args ...any) { s.mark(good, "✓", name, format, args...) }

// failure shows that something failed.
func (s *screen) failure(name, format string, args ...any) { s.mark(bad, "✗", name, format, args...) }

func (s *screen) mark(style lipgloss.Style, sign, name, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.print(s.entry(style, sign, name, fmt.Sprintf(format, args...)))
}

// text shows lines, the first one as a heading.
func (s *screen) text(heading string, lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.print(append([]string{"", s.style(bold, heading)}, lines...)...)
}

func (s *screen) entry(style lipgloss.Style, sign, name, text string) string {
	return fmt.Sprintf("  %s %-19s %s", s.style(style, sign), name, text)
}

func (s *screen) style(style lipgloss.Style, text string) string {
	if !s.live {
		return text
	}
	return style.Render(text)
}

// print writes lines above what is being done. The caller holds the lock.
func (s *screen) print(lines ...string) {
	var b strings.Builder
	if s.shown > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", s.shown) // up, and clear from there
		s.shown = 0
	}
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	if s.live {
		for _, name := range s.order {
			if text, busy := s.doing[name]; busy {
				b.WriteString(s.entry(faint, "…", name, s.style(faint, text)) + "\n")
				s.shown++
			}
		}
	}
	_, _ = io.WriteString(s.out, b.String())
}

func took(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("(%d ms)", d.Milliseconds())
	}
	return fmt.Sprintf("(%.1f s)", d.Seconds())
}
