// Package monitoring_test holds manifests/monitoring against Prometheus, the metrics that
// there are, and the page on operations.
package monitoring_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

var promql = parser.NewParser(parser.Options{})

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// metrics returns each metric that the page on operations explains (which is held against
// the code), with its labels.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| `(duebell_[a-z_]+)` \\|([^|]*)\\|")
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/operations.md"), -1) {
		all[m[1]] = []string{}
		for label := range strings.SplitSeq(m[2], ",") {
			all[m[1]] = append(all[m[1]], strings.Trim(label, " `"))
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d metrics are explained", len(all))
	}
	return all
}

// check checks that an expression can be read, and asks for metrics and labels that exist.
func check(t *testing.T, where, text string) {
	t.Helper()
	expr, err := promql.ParseExpr(text)
	if err != nil {
		t.Errorf("%s: %s: %v", where, text, err)
		return
	}
	all := metrics(t)
	selects := false
	var known []string // labels of the metrics in it
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		selects = true
		name := selector.Name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if short, found := strings.CutSuffix(name, suffix); found && all[name] == nil {
				name = short
				known = append(known, "le")
			}
		}
		if all[name] == nil {
			t.Errorf("%s asks for %s, which does not exist", where, selector.Name)
		}
		known = append(known, all[name]...)
		for _, m := range selector.LabelMatchers {
			if m.Name != model.MetricNameLabel && !slices.Contains(all[name], m.Name) {
				t.Errorf("%s: %s has no label %s", where, name, m.Name)
			}
		}
		return nil
	})
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if aggregate, ok := node.(*parser.AggregateExpr); ok {
			for _, label := range aggregate.Grouping {
				if !slices.Contains(known, label) {
					t.Errorf("%s groups by %s, which none of its metrics has", where, label)
				}
			}
		}
		return nil
	})
	if !selects {
		t.Errorf("%s asks for nothing", where)
	}
}

// The alerts are those of the page, can be loaded by Prometheus, and ask for what exists.
func TestAlerts(t *testing.T) {
	groups, errs := rulefmt.Parse([]byte(read(t, "manifests/monitoring/alerts.yaml")), false, model.UTF8Validation, promql, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil {
		t.FailNow()
	}
	page := read(t, "docs/operations.md")
	var alerts []string
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			alerts = append(alerts, rule.Expr)
			check(t, rule.Alert, rule.Expr)
			title := rule.Annotations["summary"]
			if !strings.Contains(page, "\n**"+title+".**") {
				t.Errorf("docs/operations.md has no alert %q", title)
			}
			_, after, _ := strings.Cut(page, "\n**"+title+".**")
			before, _, _ := strings.Cut(after, "```")
			if wait := time.Duration(rule.For); wait > 0 != strings.Contains(before, "`for:") || wait > 0 && !strings.Contains(before, "`for: "+rule.For.String()+"`") {
				t.Errorf("%s waits for %s, and not so in docs/operations.md", rule.Alert, rule.For)
			}
		}
	}
	var told []string
	for _, m := range regexp.MustCompile("(?s)```promql\n(.*?)\n```").FindAllStringSubmatch(page, -1) {
		told = append(told, m[1])
	}
	slices.Sort(alerts)
	slices.Sort(told)
	if !slices.Equal(alerts, told) {
		t.Errorf("the alerts are\n%s\nand docs/operations.md has\n%s", strings.Join(alerts, "\n"), strings.Join(told, "\n"))
	}
}

// What only retry-dlq shows is gone between two sweeps. An alert that asked for it at one moment
// would ring then, or begin to wait anew.
func TestAlertsSeeWhatIsAwayBetweenSweeps(t *testing.T) {
	groups, errs := rulefmt.Parse([]byte(read(t, "manifests/monitoring/alerts.yaml")), false, model.UTF8Validation, promql, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	sweeps, asked := []string{"duebell_oldest_waiting_seconds", "duebell_sweep_last_timestamp_seconds", "duebell_dead_letters", "duebell_sms_cost_today", "duebell_sms_cost_ceiling"}, 0
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			expr, err := promql.ParseExpr(rule.Expr)
			if err != nil {
				t.Fatal(err)
			}
			parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
				selector, ok := node.(*parser.VectorSelector)
				if !ok || !slices.Contains(sweeps, selector.Name) {
					return nil
				}
				asked++
				if _, looksBack := path[len(path)-1].(*parser.MatrixSelector); !looksBack {
					t.Errorf("%s asks for %s at one moment", rule.Alert, selector.Name)
				}
				return nil
			})
		}
	}
	if asked < 6 {
		t.Errorf("only %d alerts ask for what sweeps see", asked)
	}
}

// The dashboard is JSON that Grafana reads, and each of its panels asks for what exists. All
// metrics are on it.
func TestDashboard(t *testing.T) {
	text := read(t, "manifests/monitoring/dashboard.json")
	var dashboard struct {
		Title, UID    string
		SchemaVersion int
		Panels        []struct {
			Title   string
			Targets []struct{ Expr string }
			GridPos struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.UID == "" || dashboard.SchemaVersion == 0 || len(dashboard.Panels) == 0 {
		t.Errorf("it lacks something: %+v", dashboard)
	}
	taken := map[[2]int]string{}
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) == 0 {
			t.Errorf("the panel %q shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			check(t, panel.Title, target.Expr)
		}
		for x := range panel.GridPos.W {
			place := [2]int{panel.GridPos.X + x, panel.GridPos.Y}
			if taken[place] != "" || place[0] > 23 {
				t.Errorf("the panel %q lies over %q, or outside", panel.Title, taken[place])
			}
			taken[place] = panel.Title
		}
	}
	for name := range metrics(t) {
		if !strings.Contains(text, name) && name != "duebell_scheduler_data_losses_total" { // an alert says so
			t.Errorf("%s is on no panel", name)
		}
	}
}
