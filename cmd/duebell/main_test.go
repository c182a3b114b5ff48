package main

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/cmd/duebell/install"
	"github.com/duebell/duebell/local/dapr"
	"github.com/duebell/duebell/local/postgres/pgtest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify/webpush"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/vapid"
	"github.com/duebell/duebell/shared/zone"
)

func TestMain(m *testing.M) { pgtest.Main(m, nil) }

func TestCommandLine(t *testing.T) {
	for line, want := range map[string]struct {
		status int
		out    string // part of what is printed
	}{
		"":               {2, "Usage:"},
		"help":           {0, "Usage:"},
		"--help":         {0, "Usage:"},
		"fly":            {2, `no command "fly"`},
		"migrate -x":     {2, ""},
		"migrate extra":  {2, ""},
		"migrate":        {1, "DATABASE_URL"},
		"dlq":            {2, ""},
		"dlq list":       {1, "DATABASE_URL"},
		"suppress":       {2, ""},
		"suppress list":  {1, "DATABASE_URL"},
		"suppress add x": {2, ""},
		"vapid extra":    {2, ""},
		"doctor extra":   {2, ""},
		"deploy extra":   {2, ""},
		"deploy":         {1, "there is no folder manifests/overlays/production: -host, -gateway, -issuer and -audience make it"},
		"deploy -host x": {1, "-gateway is missing"},
	} {
		t.Setenv("DATABASE_URL", "")
		var out bytes.Buffer
		if status := run(context.Background(), strings.Fields(line), &out, &out); status != want.status || !strings.Contains(out.String(), want.out) {
			t.Errorf("duebell %s: %d, %s", line, status, &out)
		}
	}
}

// The printed keys can be read by a shell and by the functions. The output names the public key.
func TestVapid(t *testing.T) {
	key, err := vapid.New()
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.Private()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if status := run(t.Context(), []string{"vapid", "-subject", "ops@example.com"}, &out, &out); status != 1 || !strings.Contains(out.String(), "WEBPUSH_SUBJECT must be") {
		t.Errorf("%d: %s", status, &out)
	}
	out.Reset()
	if err := writeKeys(&out, key.Public, private, "mailto:o'neil@example.com"); err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("sh", "-c", `eval "$(cat)"; printf 'WEBPUSH_KEY=%s\nWEBPUSH_PUBLIC_KEY=%s\nWEBPUSH_SUBJECT=%s' "$WEBPUSH_KEY" "$WEBPUSH_PUBLIC_KEY" "$WEBPUSH_SUBJECT"`)
	shell.Stdin = &out
	read, err := shell.Output()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse[webpush.Config](strings.Split(string(read), "\n"))
	if err != nil || len(cfg.Keys.Keys) != 1 || cfg.Keys.Keys[0] != private || cfg.Subject != "mailto:o'neil@example.com" { // that the keys belong together is checked
		t.Errorf("%s (%v)", read, err)
	}
}

func TestMigrate(t *testing.T) {
	t.Setenv("DATABASE_URL", pgtest.URL(t))
	for range 2 { // the second time there is nothing to do
		var out bytes.Buffer
		if status := run(t.Context(), []string{"migrate"}, &out, &out); status != 0 {
			t.Fatalf("%d: %s", status, &out)
		}
	}
}

// Without a cluster the doctor reports one problem: that it can't reach a cluster.
func TestDoctorWithoutACluster(t *testing.T) {
	t.Setenv("DATABASE_URL", pgtest.URL(t))
	t.Setenv("KUBECTL", filepath.Join(t.TempDir(), "kubectl")+" --context=none")
	var out bytes.Buffer
	if status := run(t.Context(), []string{"doctor"}, &out, &out); status != 1 || out.String() != "duebell doctor: 1 thing keeps the installation from working\n" {
		t.Errorf("%d: %s", status, &out)
	}
}

// A finding is printed with its sign; what to do is below it.
func TestFindingsAreShown(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, doing: map[string]string{}, said: map[string]time.Time{}}
	showFinding(s, install.Finding{Name: "dapr", Text: "it is there"})
	showFinding(s, install.Finding{Name: "gateway", State: install.Hint, Text: "no TLS"})
	showFinding(s, install.Finding{Name: "images", State: install.Bad, Text: "not yours", Next: []string{"make images"}})
	want := "  ✓ dapr                it is there\n" +
		"  ! gateway             no TLS\n" +
		"  ✗ images              not yours\n" +
		"                        → make images\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

func TestInterruptedStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	t.Setenv("PORT", "0")
	t.Setenv("DATABASE_URL", "")
	var out bytes.Buffer
	if status := run(ctx, []string{"up", "-dir", t.TempDir()}, &out, &out); status != 130 {
		t.Errorf("%d: %s", status, &out)
	}
}

func TestDeadLetters(t *testing.T) {
	url := pgtest.URL(t)
	t.Setenv("DATABASE_URL", url)
	status := func(args ...string) (int, string) {
		var errs bytes.Buffer
		return run(t.Context(), args, &errs, &errs), errs.String()
	}
	if got, said := status("migrate"); got != 0 {
		t.Fatal(said)
	}
	s, err := store.Open(store.Config{URL: config.Secret(url), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.KeepMalformed(t.Context(), "job", []byte("{"), "no JSON"); err != nil {
		t.Fatal(err)
	}
	list, _, err := s.ListDeadLetters(t.Context(), store.DeadLetterFilter{}, uuid.Nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	id := list[0].ID.String()
	for _, c := range []struct {
		args   []string
		status int
		said   string
	}{
		{[]string{"dlq", "list", "-state", "dead"}, 0, ""},
		{[]string{"dlq", "show", id}, 0, ""},
		{[]string{"dlq", "list", "--channel", "webhook", "--provider", "webhook", "--since", "2h", "--until", "1m"}, 0, ""},
		{[]string{"dlq", "replay", "-force", id}, 1, "nothing to replay"},
		{[]string{"dlq", "replay", "--channel", "webhook", "--since", "2h"}, 0, ""},
		{[]string{"dlq", "replay", "-force"}, 2, ""},
		{[]string{"dlq", "replay", "-state", "discarded"}, 2, ""},
		{[]string{"dlq", "replay", "-rate", "0"}, 2, ""},
		{[]string{"dlq", "discard", id}, 0, ""},
		{[]string{"dlq", "show", uuid.NewString()}, 1, "no such dead letter"},
		{[]string{"dlq", "show", "x"}, 2, ""},
		{[]string{"dlq", "burn", id}, 2, ""},
	} {
		if got, said := status(c.args...); got != c.status || !strings.Contains(said, c.said) {
			t.Errorf("%v: %d %s", c.args, got, said)
		}
	}
	if l, err := s.GetDeadLetter(t.Context(), list[0].ID); err != nil || l.State != store.Discarded {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestSuppress(t *testing.T) {
	url := pgtest.URL(t)
	t.Setenv("DATABASE_URL", url)
	t.Setenv("SUPPRESSION_KEY", "a-key-for-tests-of-at-least-32-characters")
	status := func(args ...string) (int, string) {
		var errs bytes.Buffer
		return run(t.Context(), args, &errs, &errs), errs.String()
	}
	if got, said := status("migrate"); got != 0 {
		t.Fatal(said)
	}
	s, err := store.Open(store.Config{URL: config.Secret(url), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	lift := []string{"suppress", "lift", "-reason", "asked again"}
	for _, c := range []struct {
		args   []string
		status int
		said   string
	}{
		{[]string{"suppress", "add", "ada@example.com"}, 2, "Usage"},
		{[]string{"suppress", "add", "-reason", "x", "ada"}, 1, "neither an e-mail address"},
		{[]string{"suppress", "add", "-reason", "asked by letter", "ada@example.com"}, 0, ""},
		{[]string{"suppress", "add", "-reason", "asked by letter", "+15551234567"}, 0, ""},
		{[]string{"suppress", "list"}, 0, ""},
		{[]string{"suppress", "list", "Ada+x@example.com"}, 0, ""},
		{append(lift, "eve@example.com"), 1, "not suppressed"},
		{append(lift, uuid.NewString()), 1, "no such suppression"},
		{append(lift, "Ada@example.com"), 0, ""},
		{append(lift, "ada@example.com"), 1, "not suppressed"},
		{[]string{"suppress", "burn", "ada@example.com"}, 2, "Usage"},
	} {
		if got, said := status(c.args...); got != c.status || !strings.Contains(said, c.said) && c.status != 2 {
			t.Errorf("%v: %d %s", c.args, got, said)
		}
	}
	list, _, err := s.ListSuppressions(t.Context(), store.SuppressionFilter{Limit: 10})
	if err != nil || len(list) != 2 || list[0].LiftedAt != nil || list[0].Channel != "sms" || list[0].Note != "asked by letter" ||
		list[1].LiftedAt == nil || list[1].LiftNote != "asked again" || !strings.Contains(*list[1].LiftedBy, "duebell suppress (") {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestDeadLetterTable(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	l := store.DeadLetter{State: store.Dead, Attempts: 12, Error: "retry:\n\x1b[31mred\x1b[0m", CreatedAt: now.Add(-3 * time.Hour)}
	carried := l
	carried.Channel, carried.Provider = new(task.Email), new("sendgrid")
	if err := printLetters(&out, []store.DeadLetter{l, carried}, false, now); err != nil {
		t.Fatal(err)
	}
	want := "ID                                    STATE  CHANNEL  PROVIDER  ATTEMPTS  AGE  ERROR\n" +
		"00000000-0000-0000-0000-000000000000  dead   -        -         12        3h   retry:  [31mred [0m\n" +
		"00000000-0000-0000-0000-000000000000  dead   email    sendgrid  12        3h   retry:  [31mred [0m\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestVersion(t *testing.T) {
	schemas, err := filepath.Glob("../../shared/store/migrate/*.sql")
	if err != nil || len(schemas) == 0 {
		t.Fatal(schemas, err)
	}
	rest := "schema     " + strings.TrimLeft(filepath.Base(schemas[len(schemas)-1])[:4], "0") + "\ntime zones " + zone.Release() + "\nDapr       " + dapr.Version + "\nGo         "
	of := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{GoVersion: "go1.26.4", Main: debug.Module{Version: version}, Settings: settings}
	}
	commit, at := debug.BuildSetting{Key: "vcs.revision", Value: "e05045a5"}, debug.BuildSetting{Key: "vcs.time", Value: "2026-11-30T11:26:17Z"}
	for _, c := range []struct {
		info *debug.BuildInfo
		want string
	}{
		{of("v0.1.0", commit, at, debug.BuildSetting{Key: "vcs.modified", Value: "false"}), "duebell    v0.1.0\ncommit     e05045a5 of 2026-11-30T11:26:17Z\n" + rest + "go1.26.4\n"},
		{of("v0.1.0+dirty", commit, at, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), "duebell    v0.1.0+dirty\ncommit     e05045a5 of 2026-11-30T11:26:17Z, changed since\n" + rest + "go1.26.4\n"},
		{of("(devel)"), "duebell    (devel)\ncommit     unknown\n" + rest + "go1.26.4\n"}, // built of sources without their repository
		{nil, "duebell    unknown\ncommit     unknown\n" + rest + "unknown\n"},
	} {
		var out strings.Builder
		if err := writeVersion(&out, c.info); err != nil || out.String() != c.want {
			t.Errorf("%v: got\n%swant\n%s", err, &out, c.want)
		}
	}
}
