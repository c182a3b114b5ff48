package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// deaths deletes, in the moment when reminders are due, one thing on their way after another.
func deaths(ctx context.Context, l *lab) (string, error) {
	var saw []string
	for _, victim := range []struct{ name, namespace, selector string }{
		{"a daprd", "duebell", "duebell.dev/part=daprd"},
		{"the activator", "knative-serving", "app=activator"},
		{"the ingress", "kourier-system", "app=traefik"},
		{"a scheduler", "dapr-system", "app=dapr-scheduler-server"},
		{"trigger-reminder", "duebell", "serving.knative.dev/service=trigger-reminder"},
	} {
		user := someone()
		due := time.Now().Add(20 * time.Second).Truncate(time.Second)
		if err := l.createBatch(ctx, user, 20, due); err != nil {
			return "", fmt.Errorf("%s: %w", victim.name, err)
		}
		if victim.name == "trigger-reminder" { // one that fires a second before, so that it runs
			if _, err := l.create(ctx, someone(), "Before", due.Add(-3*time.Second)); err != nil {
				return "", err
			}
		}
		time.Sleep(time.Until(due.Add(-100 * time.Millisecond)))
		live, err := l.live(ctx, victim.namespace, victim.selector)
		if err != nil || len(live) == 0 {
			return "", fmt.Errorf("%s is not there to be deleted: %w", victim.name, err)
		}
		if _, err := l.kubectl(ctx, "-n", victim.namespace, "delete", "pod", live[0], "--grace-period=0", "--force", "--wait=false", "--ignore-not-found"); err != nil {
			return "", err
		}
		late, err := l.toldInTime(ctx, user, 20)
		if err != nil {
			return "", fmt.Errorf("%s: %w", victim.name, err)
		}
		saw = append(saw, fmt.Sprintf("%s: worst %.1f s", victim.name, late[19]))
		if err := l.settled(ctx); err != nil {
			return "", err
		}
	}
	return strings.Join(saw, "; "), nil
}

// settled waits until everything is there again.
func (l *lab) settled(ctx context.Context) error {
	for _, what := range [][]string{
		{"-n", "knative-serving", "rollout", "status", "deployment/activator"},
		{"-n", "kourier-system", "rollout", "status", "deployment/traefik"},
		{"-n", "dapr-system", "rollout", "status", "statefulset/dapr-scheduler-server"},
		{"-n", "kube-system", "rollout", "status", "deployment/coredns"},
		{"-n", "duebell", "rollout", "status", "deployment/daprd"},
		{"-n", "duebell", "wait", "--for=condition=Ready", "services.serving.knative.dev", "--all"},
	} {
		if _, err := l.kubectl(ctx, append(what, "--timeout=3m")...); err != nil {
			return err
		}
	}
	return nil
}

func dnsAway(ctx context.Context, l *lab) (string, error) {
	user := someone()
	due := time.Now().Add(30 * time.Second)
	if err := l.createBatch(ctx, user, 20, due); err != nil {
		return "", err
	}
	time.Sleep(time.Until(due.Add(-10 * time.Second)))
	_, err := l.kubectl(ctx, "-n", "kube-system", "scale", "deployment/coredns", "--replicas=0")
	time.Sleep(time.Until(due.Add(10 * time.Second)))
	_, back := l.kubectl(ctx, "-n", "kube-system", "scale", "deployment/coredns", "--replicas=1")
	if err = errors.Join(err, back); err != nil {
		return "", err
	}
	late, err := l.toldInTime(ctx, user, 20)
	return lateness(late), errors.Join(err, l.settled(ctx))
}

// postgresRestarts has the server crash in the moment when reminders are due.
func postgresRestarts(ctx context.Context, l *lab) (string, error) {
	user := someone()
	due := time.Now().Add(20 * time.Second)
	if err := l.createBatch(ctx, user, 20, due); err != nil {
		return "", err
	}
	file, err := os.ReadFile(l.path("var", "postgres", "data", "postmaster.pid"))
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(string(file), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return "", err
	}
	time.Sleep(time.Until(due.Add(-50 * time.Millisecond)))
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		return "", err
	}
	if err := until(ctx, time.Minute, func() error { return l.db.Ping(ctx) }); err != nil {
		return "", err
	}
	late, err := l.toldInTime(ctx, user, 20)
	return lateness(late), err
}

func upgrade(ctx context.Context, l *lab) (string, error) {
	d := l.startLoad(ctx)
	_, err := l.do(ctx, "upgrade", nil)
	if err == nil { // every function starts anew, as with other images
		err = l.withRestart(ctx, "restart $(kubectl -n duebell get services.serving.knative.dev -o jsonpath='{.items[*].metadata.name}')")
	}
	if err == nil {
		err = l.settled(ctx)
	}
	saw, loadErr := d.end(ctx, l)
	return saw, errors.Join(err, loadErr)
}

// withRestart runs a command that uses the shell functions of security.md.
func (l *lab) withRestart(ctx context.Context, command string, env ...string) error {
	functions, err := documented["restart"].find(l.path("checkout"))
	if err != nil {
		return err
	}
	said, err := l.runBlock(ctx, functions.code+command, env...)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, said)
	}
	return nil
}

// eventsKey has the form of a key of SendGrid's Event Webhook.
const eventsKey = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="

// secrets changes each secret as security.md says, while reminders are created and told.
func secrets(ctx context.Context, l *lab) (string, error) {
	database, err := l.databaseURL()
	if err != nil {
		return "", err
	}
	var saw []string
	for _, secret := range []string{"app token", "API token", "database", "broker", "provider's key", "reports' key", "limits", "unsubscribe key", "suppression key", "verify key", "link key"} {
		b, err := documented[secret].find(l.path("checkout"))
		if err != nil {
			return "", err
		}
		at := fmt.Sprintf("%s:%d", securityPage, b.line)
		l.say("  " + at)
		d := l.startLoad(ctx)
		command := b.code
		if secret == "broker" { // this one has one user only
			command = strings.ReplaceAll(command, "username=duebell-2", "username=duebell")
		}
		err = l.withRestart(ctx, command, "DATABASE_URL="+database, "KAFKA_PASSWORD="+kafkaPassword, "SENDGRID_API_KEY=another", "SENDGRID_EVENTS_KEY="+eventsKey)
		if err == nil {
			err = l.settled(ctx)
		}
		told, loadErr := d.end(ctx, l)
		if err := errors.Join(err, loadErr); err != nil {
			return "", fmt.Errorf("%s (%s): %w", secret, at, err)
		}
		saw = append(saw, secret+": "+told)
	}
	return strings.Join(saw, "\n"), nil
}

// restore goes back to a backup, as the page says: what was told after it is not told again.
func restore(ctx context.Context, l *lab) (string, error) {
	database, err := l.databaseURL()
	if err != nil {
		return "", err
	}
	user := someone()
	later, toldMeanwhile := time.Now().Add(3*time.Minute), time.Now().Add(15*time.Second)
	if _, err := l.create(ctx, user, "Later", later); err != nil {
		return "", err
	}
	if _, err := l.create(ctx, user, "Told meanwhile", toldMeanwhile); err != nil {
		return "", err
	}
	backup := time.Now().UTC()
	dump := l.path("var", "backup.dump")
	run := func(command string) error {
		_, err := l.runBlock(ctx, command, "DATABASE_URL="+database)
		return err
	}
	if err := run("pg_dump -Fc -f " + dump + " \"$DATABASE_URL\""); err != nil {
		return "", err
	}
	if _, err := l.told(ctx, user, 1, time.Minute); err != nil {
		return "", err
	}
	if _, err := l.do(ctx, "stop", nil); err != nil {
		return "", err
	}
	if err := run("pg_restore --clean --if-exists -d \"$DATABASE_URL\" " + dump); err != nil {
		return "", err
	}
	when := func(code string) string {
		return strings.Replace(code, "2030-01-01T00:00:00Z", backup.Format(time.RFC3339), 1)
	}
	if _, err := l.do(ctx, "mark", when, "DATABASE_URL="+database); err != nil {
		return "", err
	}
	if err := run("kubectl apply -k manifests/overlays/production"); err != nil {
		return "", err
	}
	if _, err := l.do(ctx, "reconcile", nil, "DATABASE_URL="+database); err != nil {
		return "", err
	}
	late, err := l.told(ctx, user, 1, time.Until(later)+90*time.Second)
	if err != nil {
		return "", err
	}
	var title string
	err = l.db.QueryRow(ctx, `select title from notifications where user_id = $1`, user).Scan(&title)
	if err == nil && title != "Later" {
		err = fmt.Errorf("%q was told again", title)
	}
	return "what was told after the backup is not told again; what is due later: " + lateness(late), err
}

func doctor(ctx context.Context, l *lab) (string, error) {
	database, err := l.databaseURL()
	if err != nil {
		return "", err
	}
	said, err := l.runBlock(ctx, "build/bin/duebell doctor -overlay manifests/overlays/production", "DATABASE_URL="+database)
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, said)
	}
	return fmt.Sprintf("%d lines with ✓", strings.Count(said, "✓")), nil
}

func takenAway(ctx context.Context, l *lab) (string, error) {
	began := time.Now()
	if _, err := l.do(ctx, "take away", nil); err != nil {
		return "", err
	}
	said, err := l.kubectl(ctx, "get", "namespace", "duebell", "--ignore-not-found", "-o", "name")
	if err == nil && said != "" {
		err = errors.New("the namespace is still there")
	}
	return fmt.Sprintf("gone after %.0f s", time.Since(began).Seconds()), err
}

// atOnce deploys by one command, which writes the overlay; changes that by hand, as this
// cluster's issuer wants it; deploys once more, and has a reminder arrive.
func atOnce(ctx context.Context, l *lab) (string, error) {
	database, err := l.databaseURL()
	if err != nil {
		return "", err
	}
	began := time.Now()
	overlay := l.path("checkout", "manifests", "overlays", "production")
	if err := os.RemoveAll(overlay); err != nil {
		return "", err
	}
	settings := func(code string) string {
		return strings.ReplaceAll(code, "https://login.example.org", issuerURL)
	}
	if _, err := l.do(ctx, "at once", settings, "DATABASE_URL="+database); err != nil {
		return "", err
	}
	deployed := time.Since(began)
	file := filepath.Join(overlay, "kustomization.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	mark, rest, _ := strings.Cut(string(content), "apiVersion:")
	if !strings.Contains(mark, "take this out") {
		return "", errors.New("the overlay does not say how it is changed by hand:\n" + mark)
	}
	if err := os.WriteFile(file, []byte("apiVersion:"+rest), 0o600); err != nil {
		return "", err
	}
	if _, err := l.runBlock(ctx, "cluster edit "+file, ""); err != nil {
		return "", err
	}
	if said, err := l.runBlock(ctx, "build/bin/duebell deploy", "DATABASE_URL="+database); err != nil {
		return "", fmt.Errorf("%w\n%s", err, said)
	}
	user := someone()
	if _, err := l.create(ctx, user, "Again", time.Now().Add(10*time.Second)); err != nil {
		return "", err
	}
	late, err := l.toldInTime(ctx, user, 1)
	return fmt.Sprintf("deployed in %.0f s; then a reminder: %s", deployed.Seconds(), lateness(late)), err
}

// probe tries to connect to addresses, and prints for each whether it is open or closed. It
// runs in a pod.
func probe(addresses []string) error {
	var found []string
	for _, address := range addresses {
		conn, err := net.DialTimeout("tcp", address, 3*time.Second)
		if err != nil {
			found = append(found, "closed")
			continue
		}
		_ = conn.Close()
		found = append(found, "open")
	}
	fmt.Println(strings.Join(found, " "))
	return nil
}
