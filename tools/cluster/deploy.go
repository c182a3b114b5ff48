package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

func (n *node) installNeeds(ctx context.Context) error {
	_, err := n.do(ctx, "needs", nil)
	return err
}

// deploy takes the steps of the page up to the first reminder.
func (n *node) deploy(ctx context.Context) error {
	database, err := n.databaseURL()
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(n.path("pki", "ca.crt"))
	if err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		env  []string
	}{
		{"images", nil},
		{"settings", []string{"EDITOR=cluster edit"}},
		{"secrets", []string{"DATABASE_URL=" + database, "SENDGRID_API_KEY=none", "SENDGRID_EVENTS_KEY=" + eventsKey, "SES_EVENTS_TOPICS=", "KAFKA_PASSWORD=" + kafkaPassword, "KAFKA_CA=" + string(ca)}},
		{"everything", nil},
	} {
		if _, err := n.do(ctx, step.what, nil, step.env...); err != nil {
			return err
		}
	}
	return nil
}

// edit does what the page has somebody do in an editor: the gateway and the brokers of the
// overlay are right for this cluster; the names and the issuer are others.
func edit(files []string) error {
	changes := map[string]*strings.Replacer{
		"settings.yaml":      strings.NewReplacer("https://login.example.com", issuerURL),
		"kustomization.yaml": strings.NewReplacer("  # - ../../issuer-in-cluster", "  - ../../issuer-in-cluster", "\npatches:\n", "\npatches:\n"+issuerPolicy),
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := differs.Replace(changes[filepath.Base(path)].Replace(string(content)))
		if strings.Count(set, "issuer") == strings.Count(string(content), "issuer") {
			return fmt.Errorf("%s has no issuer to change", path)
		}
		if err := os.WriteFile(path, []byte(set), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// issuerPolicy is the patch that manifests/issuer-in-cluster asks for.
const issuerPolicy = `  - target: {kind: NetworkPolicy, name: issuer}
    patch: |-
      - op: replace
        path: /spec/egress/0/to/0/namespaceSelector/matchLabels
        value: {kubernetes.io/metadata.name: login}
`

// firstReminder waits until the functions are at zero, and then has a reminder arrive.
func (n *node) firstReminder(ctx context.Context) error {
	began := time.Now()
	if err := n.atZero(ctx, "trigger-reminder"); err != nil {
		return err
	}
	n.say(fmt.Sprintf("  trigger-reminder has gone to zero, after %.0f s", time.Since(began).Seconds()))
	token, err := n.token("alice", "")
	if err != nil {
		return err
	}
	said, err := n.do(ctx, "reminder", nil, "TOKEN="+token)
	if err != nil {
		return err
	}
	if !strings.Contains(said, `"state":"scheduled"`) || strings.Count(said, `"title":"Stretch"`) != 2 {
		return fmt.Errorf("it was not scheduled, or has not arrived:\n%s", said)
	}
	var late float64
	err = n.row(ctx, `select extract(epoch from n.created_at - r.fire_at)::float8 from notifications n join reminders r on r.task_id = n.task_id where n.user_id = 'alice'`, &late)
	if err != nil {
		return err
	}
	n.say(fmt.Sprintf("  from zero, %.2f s after its instant", late))
	return nil
}

// pod is one that is there; it may be about to end.
type pod struct {
	name   string
	ending bool
}

// pods returns the pods with a label.
func (n *node) pods(ctx context.Context, namespace, selector string) (all []pod, err error) {
	said, err := n.kubectl(ctx, "-n", namespace, "get", "pods", "-l", selector, "-o",
		`jsonpath={range .items[*]}{.metadata.name}{" "}{.metadata.deletionTimestamp}{"\n"}{end}`)
	for _, line := range strings.Split(strings.TrimSpace(said), "\n") {
		if name, ending, _ := strings.Cut(line, " "); name != "" {
			all = append(all, pod{name, ending != ""})
		}
	}
	return all, err
}

// live returns the names of the pods with a label that are not about to end.
func (n *node) live(ctx context.Context, namespace, selector string) (names []string, err error) {
	all, err := n.pods(ctx, namespace, selector)
	for _, p := range all {
		if !p.ending {
			names = append(names, p.name)
		}
	}
	return names, err
}

// atZero waits until no pod of functions is there, not even one that is about to end.
func (n *node) atZero(ctx context.Context, functions ...string) error {
	return until(ctx, 5*time.Minute, func() error {
		there, err := n.pods(ctx, "duebell", ofFunctions(functions))
		if err == nil && len(there) > 0 {
			err = fmt.Errorf("still there: %v", there)
		}
		return err
	})
}

// ofFunctions is the label of functions' pods.
func ofFunctions(names []string) string {
	return "serving.knative.dev/service in (" + strings.Join(names, ",") + ")"
}

// row reads one row of the database.
func (n *node) row(ctx context.Context, query string, into ...any) error {
	database, err := n.databaseURL()
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.QueryRow(ctx, query).Scan(into...)
}
