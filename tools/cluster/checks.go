package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// checks are all checks, in the order in which they run: what takes away comes last.
func checks() []checked {
	return []checked{
		{"policies are enforced", promise{securityPage, "NetworkPolicies let a function reach DNS"}, policies},
		{"only public paths are public", promise{deployPage, "can't be reached from outside"}, public},
		{"the namespace admits restricted pods only", promise{deployPage, "The namespace enforces `restricted`"}, restricted},
		{"what is awake while nothing happens", promise{deployPage, "While nothing happens"}, idle},
		{"from zero, 20 times", promise{deployPage, "While trigger-reminder is not running, a reminder's callback goes"}, fromZero},
		{"1,000 due in one second, from zero", promise{deployPage, "trigger-reminder limits how fast a spike is fired"}, spike},
		{"update and delete while all is at zero", promise{"docs/guarantees.md", "If the task is moved, the same holds for the old instant"}, changes},
		{"the inbox is live through the gateway", promise{deployPage, "Open streams keep it awake"}, streams},
		{"an import of 10,000", promise{"docs/importing.md", "100,000"}, imports},
		{"events wake subscribers from zero", promise{deployPage, "While there are no events, the function is at zero"}, events},
		{"the sweep tells what Dapr does not", promise{deployPage, "up to 65 s late"}, sweeps},
		{"the nightly cleanup runs", promise{operationsPage, "## The nightly cleanup"}, cleans},
		{"Prometheus scrapes by the labels, and an alert rings", promise{operationsPage, "so scrape pods and not services"}, monitoring},
		{"pods die at the due moment", promise{deployPage, "the copy dies, or the activator does"}, deaths},
		{"DNS is away for 20 s", promise{deployPage, "with one of the repetitions"}, dnsAway},
		{"Postgres restarts", promise{"docs/guarantees.md", "Without Postgres the answer is 503 with Retry-After"}, postgresRestarts},
		{"an upgrade under load", promise{deployPage, "New revisions of functions replace old ones without a gap"}, upgrade},
		{"every secret is changed under load", promise{securityPage, "## Changing secrets"}, secrets},
		{"backup and restore", promise{deployPage, "## Backup and restore"}, restore},
		{"doctor finds nothing wrong", promise{deployPage, "duebell doctor"}, doctor},
		{"it can be taken away", promise{deployPage, "deletes the namespace, with the secrets"}, takenAway},
		{"one command puts it back", promise{deployPage, "Without settings on the command line it applies the overlay that is"}, atOnce},
	}
}

// fromZero has reminders arrive from zero that were created from zero, 20 s ahead.
func fromZero(ctx context.Context, l *lab) (string, error) {
	// Knative takes a minute to scale down; here 6 s, its least. Nothing else changes.
	_, err := l.kubectl(ctx, "-n", "knative-serving", "patch", "configmap", "config-autoscaler", "--type=merge", "-p", `{"data": {"stable-window": "6s"}}`)
	if err != nil {
		return "", err
	}
	user, pending := someone(), 0
	var answered []float64
	for i := range 20 {
		if err := l.asleep(ctx, "create-task", "trigger-reminder"); err != nil {
			return "", err
		}
		began := time.Now()
		due := began.Add(20 * time.Second)
		m, err := l.create(ctx, user, fmt.Sprintf("From zero, %d", i), due)
		if err != nil {
			return "", err
		}
		answered = append(answered, time.Since(began).Seconds())
		if m.Reminders[0].State != "scheduled" {
			pending++
		}
		time.Sleep(time.Until(due.Add(-time.Second)))
		if live, err := l.live(ctx, "duebell", "serving.knative.dev/service=trigger-reminder"); err != nil || len(live) > 0 {
			return "", fmt.Errorf("trigger-reminder runs a second before: %v (%w)", live, err)
		}
		if late, err := l.told(ctx, user, i+1, 90*time.Second); err != nil {
			return "", fmt.Errorf("number %d: %w", i+1, err)
		} else if i == 19 {
			slices.Sort(answered)
			saw := fmt.Sprintf("%s; a cold create was answered after %.2f s (median; worst %.2f), %d of 20 answers said pending", lateness(late), answered[10], answered[19], pending)
			if late[10] > 1.5 || late[19] > 2 {
				return "", errors.New("too late: " + saw)
			}
			return saw, nil
		}
	}
	return "", nil
}

func spike(ctx context.Context, l *lab) (string, error) {
	user := someone()
	due := time.Now().Add(50 * time.Second).Truncate(time.Second)
	if err := l.createBatch(ctx, user, 1000, due); err != nil {
		return "", err
	}
	if err := l.asleep(ctx, "trigger-reminder"); err != nil {
		return "", err
	}
	if time.Now().After(due) {
		return "", errors.New("trigger-reminder was not at zero in time: this shows nothing")
	}
	late, err := l.told(ctx, user, 1000, 3*time.Minute)
	return lateness(late), err
}

func changes(ctx context.Context, l *lab) (string, error) {
	user := someone()
	due := time.Now().Add(60 * time.Second)
	var ids []string
	for i := range 3 {
		m, err := l.create(ctx, user, fmt.Sprintf("Task %d", i), due)
		if err != nil {
			return "", err
		}
		ids = append(ids, m.ID)
	}
	if err := l.asleep(ctx, "create-task", "update-task", "delete-task", "trigger-reminder"); err != nil {
		return "", err
	}
	moved := time.Now().Add(20 * time.Second)
	if _, err := l.call(ctx, user, "PATCH", "/api/tasks/"+ids[0], map[string]any{"due_date": moved.UTC()}, 200); err != nil {
		return "", err
	}
	if _, err := l.call(ctx, user, "DELETE", "/api/tasks/"+ids[1], nil, 200); err != nil {
		return "", err
	}
	if time.Now().After(due) {
		return "", errors.New("it took too long: this shows nothing")
	}
	if _, err := l.told(ctx, user, 2, time.Until(due)+90*time.Second); err != nil {
		return "", err
	}
	time.Sleep(3 * time.Second) // the deleted one would have come by now, too
	late, err := l.told(ctx, user, 2, time.Second)
	return lateness(late), err
}

// streams reads the inbox live, both ways, while a reminder arrives.
func streams(ctx context.Context, l *lab) (string, error) {
	user := someone()
	token, err := l.token(user, "")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	header := http.Header{"Authorization": {"Bearer " + token}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, apiURL+"/api/notifications/stream", nil)
	if err != nil {
		return "", err
	}
	request.Header = header
	answer, err := (&http.Client{}).Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the stream answers %s", answer.Status)
	}
	socket, _, err := websocket.Dial(ctx, "wss://"+apiHost+"/api/notifications/ws", &websocket.DialOptions{HTTPHeader: header}) //nolint:bodyclose // as its documentation says
	if err != nil {
		return "", fmt.Errorf("the WebSocket: %w", err)
	}
	defer func() { _ = socket.CloseNow() }()
	began := time.Now()
	if _, err := l.create(ctx, user, "Live", began.Add(10*time.Second)); err != nil {
		return "", err
	}
	bySocket := make(chan error, 1)
	go func() {
		for {
			_, content, err := socket.Read(ctx)
			if err != nil || strings.Contains(string(content), `"Live"`) {
				bySocket <- err
				return
			}
		}
	}()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() && !strings.Contains(lines.Text(), `"Live"`) {
	}
	if lines.Err() != nil || !strings.Contains(lines.Text(), `"Live"`) {
		return "", fmt.Errorf("the stream ended without it: %w", lines.Err())
	}
	if err := <-bySocket; err != nil {
		return "", fmt.Errorf("the WebSocket: %w", err)
	}
	return fmt.Sprintf("a notification came by both, %.1f s after its instant", time.Since(began).Seconds()-10), nil
}

func imports(ctx context.Context, l *lab) (string, error) {
	user := someone()
	var lines strings.Builder
	due := time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)
	for i := range 10_000 {
		fmt.Fprintf(&lines, `{"title": "Imported %d", "due_date": %q}`+"\n", i, due)
	}
	began := time.Now()
	answer, err := l.call(ctx, user, "POST", "/api/tasks/batch", lines.String(), 200)
	if err != nil {
		return "", err
	}
	all := strings.Split(strings.TrimSpace(string(answer)), "\n")
	var summary struct{ Created, Failed int }
	if err := json.Unmarshal([]byte(all[len(all)-1]), &summary); err != nil {
		return "", err
	}
	var stored int
	err = l.db.QueryRow(ctx, `select count(*) from tasks where user_id = $1`, user).Scan(&stored)
	if err == nil && (summary.Created != 10_000 || stored != 10_000 || summary.Failed > 0) {
		err = fmt.Errorf("%s, and %d are stored", all[len(all)-1], stored)
	}
	return fmt.Sprintf("%s in %.1f s", all[len(all)-1], time.Since(began).Seconds()), err
}

func events(ctx context.Context, l *lab) (string, error) {
	if err := l.asleep(ctx, "audit-log", "analytics", "send"); err != nil {
		return "", err
	}
	user := someone()
	due := time.Now().Add(15 * time.Second)
	if _, err := l.create(ctx, user, "An event", due); err != nil {
		return "", err
	}
	if _, err := l.told(ctx, user, 1, 90*time.Second); err != nil {
		return "", err
	}
	for _, table := range []string{"audit_events", "counted_events"} {
		err := until(ctx, 2*time.Minute, func() error {
			var heard int
			err := l.db.QueryRow(ctx, `select count(*) from `+table+` e join deliveries d on d.id = e.event_id where d.user_id = $1`, user).Scan(&heard)
			if err == nil && heard != 1 {
				err = fmt.Errorf("%s has the event %d times", table, heard)
			}
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("audit-log and analytics have it, %.1f s after its instant", time.Since(due).Seconds()), nil
}

// withoutDaprd does something while no shared daprd runs.
func (l *lab) withoutDaprd(ctx context.Context, do func() error) error {
	scale := func(replicas string) error {
		_, err := l.kubectl(ctx, "-n", "duebell", "scale", "deployment/daprd", "--replicas="+replicas)
		return err
	}
	err := scale("0")
	if err == nil {
		err = until(ctx, time.Minute, func() error {
			live, err := l.live(ctx, "duebell", "duebell.dev/part=daprd")
			if err == nil && len(live) > 0 {
				err = errors.New("daprd is still there")
			}
			return err
		})
	}
	if err == nil {
		err = do()
	}
	back := scale("2")
	if back == nil {
		_, back = l.kubectl(ctx, "-n", "duebell", "rollout", "status", "deployment/daprd", "--timeout=2m")
	}
	return errors.Join(err, back)
}

// sweeps has reminders told while Dapr can't.
func sweeps(ctx context.Context, l *lab) (string, error) {
	user := someone()
	var late []float64
	err := l.withoutDaprd(ctx, func() (err error) {
		for i := range 5 {
			if _, err := l.create(ctx, user, "Without Dapr", time.Now().Add(time.Duration(5+i)*time.Second)); err != nil {
				return err
			}
		}
		late, err = l.toldInTime(ctx, user, 5)
		return err
	})
	return lateness(late), err
}

// cleans has the nightly cleanup's PingSource fire now instead of at night.
func cleans(ctx context.Context, l *lab) (string, error) {
	schedule := func(cron string) error {
		_, err := l.kubectl(ctx, "-n", "duebell", "patch", "pingsources.sources.knative.dev", "nightly-cleanup", "--type=merge", "-p", `{"spec": {"schedule": "`+cron+`"}}`)
		return err
	}
	if err := schedule("* * * * *"); err != nil {
		return "", err
	}
	line := ""
	err := until(ctx, 3*time.Minute, func() error {
		said, err := l.kubectl(ctx, "-n", "duebell", "logs", "-l", "serving.knative.dev/service=nightly-cleanup", "-c", "user-container", "--tail=-1")
		if err != nil {
			return err
		}
		for _, each := range strings.Split(said, "\n") {
			if strings.Contains(each, `"cleaned up"`) {
				line = each
				return nil
			}
		}
		return errors.New("nothing is cleaned up yet")
	})
	if err == nil && (strings.Contains(line, `"complete":false`) || !strings.Contains(line, `"complete":true`)) {
		err = errors.New("not all steps are complete: " + line)
	}
	return "cleaned up, every step complete", errors.Join(err, schedule("0 2 * * *"))
}

type publicCall struct {
	method, path string
	status       int
}

// publicCalls are those of the route, one for each path at least, and what each answers to
// somebody without a token.
var publicCalls = []publicCall{
	{"POST", "/api/tasks", 401},
	{"GET", "/api/tasks", 401},
	{"POST", "/api/tasks/batch", 401},
	{"GET", "/api/openapi.json", 200},
	{"GET", "/api/tasks/1", 401},
	{"PUT", "/api/tasks/1", 401},
	{"PATCH", "/api/tasks/1", 401},
	{"DELETE", "/api/tasks/1", 401},
	{"POST", "/api/tasks/1/complete", 401},
	{"POST", "/api/recurrence/preview", 401},
	{"GET", "/api/notifications", 401},
	{"GET", "/api/notifications/stream", 401},
	{"POST", "/api/notifications/ticket", 401},
	{"GET", "/api/preferences", 401},
	{"POST", "/api/preferences/test", 401},
	{"POST", "/api/preferences/verify", 401},
	{"POST", "/api/preferences/verify/resend", 401},
	{"POST", "/api/unsubscribe", 400},
	{"POST", "/api/verify", 400},
	{"POST", "/api/not-me", 400},
	{"GET", "/api/suppressions", 401},
	{"GET", "/m/none", 404},
	{"POST", "/m/none", 404},
	{"POST", "/api/reports/sendgrid", 403},
	{"GET", "/api/dlq", 401},
	{"GET", "/api/status", 401},
	{"GET", "/api/analytics", 401},
	{"GET", "/", 200},
	{"GET", "/console/inbox", 200},
	{"GET", "/console/config.json", 200},
}

// public asks for every path from outside.
func public(ctx context.Context, l *lab) (string, error) {
	hidden := []string{
		"/nowhere", "/job/reminder-1", "/api/jobs/trigger", "/metrics", "/healthz", "/readyz", "/events/task-reminders", "/dapr/subscribe", "/dapr/config", "/v1.0/healthz",
	}
	for _, path := range hidden {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if _, err := l.call(ctx, "operator", method, path, nil, 404); err != nil {
				return "", err
			}
		}
	}
	for _, c := range publicCalls {
		if _, err := l.call(ctx, "", c.method, c.path, nil, c.status); err != nil {
			return "", err
		}
	}
	if _, err := l.call(ctx, "alice", http.MethodGet, "/api/dlq", nil, 403); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d requests from outside found nothing; %d of the route's answered as they have to without a token", 2*len(hidden), len(publicCalls)), nil
}

// policies asks from a pod in another namespace for what only functions may reach.
func policies(ctx context.Context, l *lab) (string, error) {
	if _, err := l.call(ctx, "alice", "GET", "/api/tasks", nil, 200); err != nil { // so that a pod of it runs
		return "", err
	}
	address, err := l.kubectl(ctx, "-n", "duebell", "get", "pods", "-l", "serving.knative.dev/service=get-tasks", "-o", "jsonpath={.items[0].status.podIP}")
	if err != nil {
		return "", err
	}
	dapr, err := l.kubectl(ctx, "-n", "duebell", "get", "pods", "-l", "duebell.dev/part=daprd", "-o", "jsonpath={.items[0].status.podIP}")
	if err != nil {
		return "", err
	}
	const want = "closed closed closed closed closed open"
	err = until(ctx, time.Minute, func() error { // the plug-in guards a new pod after a while
		got, err := l.probe(ctx, "default", address+":8012", address+":8080", dapr+":3500", dapr+":9090", dapr+":50002", "kourier-internal.kourier-system.svc.cluster.local:80")
		if err == nil && got != want {
			err = fmt.Errorf("from a foreign pod: %s, want %s", got, want)
		}
		return err
	})
	return "a foreign pod reaches no function, and nothing of daprd that is guarded by no token; but, as it has to, Knative's gateway", err
}

// probe runs a pod in a namespace that tries to connect to addresses, and returns for each
// whether it is open or closed.
func (l *lab) probe(ctx context.Context, namespace string, addresses ...string) (string, error) {
	name := someone()
	defer func() {
		_, _ = l.kubectl(context.WithoutCancel(ctx), "-n", namespace, "delete", "pod", name, "--wait=false")
	}()
	args, err := json.Marshal(append([]string{"probe"}, addresses...))
	if err != nil {
		return "", err
	}
	_, err = l.kubectlWith(ctx, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "`+name+`"}, "spec": {"restartPolicy": "Never",
		"containers": [{"name": "probe", "image": "`+registryHost+`/cluster:1", "args": `+string(args)+`}]}}`, "-n", namespace, "apply", "-f", "-")
	if err != nil {
		return "", err
	}
	if _, err := l.kubectl(ctx, "-n", namespace, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/"+name, "--timeout=2m"); err != nil {
		return "", err
	}
	said, err := l.kubectl(ctx, "-n", namespace, "logs", name)
	return strings.TrimSpace(said), err
}

func restricted(ctx context.Context, l *lab) (string, error) {
	_, err := l.kubectlWith(ctx, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "privileged"}, "spec": {"containers":
		[{"name": "x", "image": "`+registryHost+`/cluster:1", "securityContext": {"privileged": true}}]}}`, "-n", "duebell", "apply", "--dry-run=server", "-f", "-")
	if err == nil || !strings.Contains(err.Error(), "PodSecurity") {
		return "", fmt.Errorf("a privileged pod is not refused by PodSecurity: %w", err)
	}
	running, err := l.kubectl(ctx, "-n", "duebell", "get", "pods", "-o", "name")
	if err == nil && strings.Count(running, "daprd") < 4 {
		err = errors.New("not all daprds run: " + running)
	}
	return "a privileged pod is refused, and all of ours were admitted", err
}

// monitoring runs Prometheus as operations.md has it scrape, with the alerts.
func monitoring(ctx context.Context, l *lab) (string, error) {
	page, err := os.ReadFile(l.path("checkout", "docs", "operations.md"))
	if err != nil {
		return "", err
	}
	_, after, found := strings.Cut(string(page), "```yaml\nscrape_configs:")
	config, _, ended := strings.Cut(after, "```")
	if !found || !ended {
		return "", errors.New("docs/operations.md has no scrape_configs")
	}
	// Prometheus runs on the node here, so it says where Kubernetes is.
	config = strings.Replace(config, "{role: pod}", "{role: pod, kubeconfig_file: "+l.path("etc", "admin.kubeconfig")+"}", 1)
	alerts, err := os.ReadFile(l.path("checkout", "manifests", "monitoring", "alerts.yaml"))
	if err != nil {
		return "", err
	}
	// One that waits for 10 minutes rings after one here.
	if err := os.WriteFile(l.path("etc", "alerts.yaml"), bytes.ReplaceAll(alerts, []byte("for: 10m"), []byte("for: 1m")), 0o600); err != nil {
		return "", err
	}
	config = "global: {evaluation_interval: 15s}\nrule_files: [" + l.path("etc", "alerts.yaml") + "]\nscrape_configs:" + config
	file := l.path("etc", "prometheus.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return "", err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(running, l.path("bin", "prometheus"), "--config.file="+file, "--storage.tsdb.path="+l.path("var", "prometheus"), "--web.listen-address=127.0.0.1:9099")
	log, err := os.Create(l.path("log", "prometheus.log"))
	if err != nil {
		return "", err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return "", err
	}
	defer func() { stop(); _ = cmd.Wait() }()
	ask := func(query string) (string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:9099/api/v1/query?query="+query, nil)
		if err != nil {
			return "", err
		}
		answer, err := l.http.Do(request)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		var b strings.Builder
		_, err = bufio.NewReader(answer.Body).WriteTo(&b)
		return b.String(), err
	}
	err = until(ctx, 3*time.Minute, func() error {
		said, err := ask("duebell_sweep_last_timestamp_seconds")
		if err == nil && !strings.Contains(said, `"function":"retry-dlq"`) {
			err = errors.New("the sweep's metrics are not there: " + said)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	said, err := ask("ALERTS")
	if err != nil {
		return "", err
	}
	if strings.Contains(said, "SweepDoesNotRun") {
		return "", errors.New("an alert rings for nothing: " + said)
	}
	err = l.withoutDaprd(ctx, func() error { return alerted(ctx, l, ask) })
	return "the sweep's metrics are scraped; with daprd away DaprTakesNoJobs rings", err
}

// alerted creates tasks until the alert rings that Dapr takes no jobs.
func alerted(ctx context.Context, l *lab, ask func(string) (string, error)) error {
	user := someone()
	return until(ctx, 6*time.Minute, func() error {
		if _, err := l.create(ctx, user, "Refused", time.Now().Add(time.Hour)); err != nil {
			return err
		}
		said, err := ask(url.QueryEscape(`ALERTS{alertname="DaprTakesNoJobs",alertstate="firing"}`))
		if err == nil && !strings.Contains(said, "DaprTakesNoJobs") {
			err = errors.New("the alert DaprTakesNoJobs does not ring: " + said)
		}
		return err
	})
}

// load creates reminders that fall due all the time, until it is told to stop; then each
// has to have been told, once.
type load struct {
	user    string
	stop    context.CancelFunc
	done    sync.WaitGroup // what is below is whole when it is done
	created int
	refused []error
}

func (l *lab) startLoad(ctx context.Context) *load {
	ctx, stop := context.WithCancel(ctx)
	d := &load{user: someone(), stop: stop}
	d.done.Go(func() {
		for ctx.Err() == nil {
			_, err := l.create(context.WithoutCancel(ctx), d.user, "Under load", time.Now().Add(5*time.Second))
			if err != nil {
				d.refused = append(d.refused, err)
			} else {
				d.created++
			}
			select {
			case <-ctx.Done():
			case <-time.After(250 * time.Millisecond):
			}
		}
	})
	return d
}

// end stops the load, and says how late reminders were. None may be lost, or later than the
// sweep.
func (d *load) end(ctx context.Context, l *lab) (string, error) {
	d.stop()
	d.done.Wait()
	if len(d.refused) > 0 {
		return "", fmt.Errorf("%d of %d requests were refused; the first: %w", len(d.refused), len(d.refused)+d.created, d.refused[0])
	}
	late, err := l.toldInTime(ctx, d.user, d.created)
	return lateness(late), err
}
