package system_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/dapr/go-sdk/client"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/system"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakes builds a program that stands in for every function.
func fakes(t *testing.T) (dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL and Dapr")
	}
	dir = t.TempDir()
	program := filepath.Join(dir, "program")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/function").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, f := range system.Functions {
		if err := os.Link(program, filepath.Join(dir, f.Name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func options(t *testing.T) system.Options {
	t.Helper()
	return system.Options{
		Dir: filepath.Join(t.TempDir(), "data"), FunctionsDir: fakes(t),
		Migrate: func(ctx context.Context, databaseURL string) error {
			conn, err := pgx.Connect(ctx, databaseURL)
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			_, err = conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS migrated (n int)")
			return err
		},
	}
}

func start(t *testing.T, o system.Options) *system.System {
	t.Helper()
	s, err := system.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *system.System) {
	t.Helper()
	started := time.Now()
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if took := time.Since(started); took > time.Minute {
		t.Errorf("stopping took %v", took)
	}
	http.DefaultClient.CloseIdleConnections()
}

// about is what a fake function says about itself.
type about struct {
	Function  string
	Variables []string
	Jobs      int
	PID       int
}

func ask(t *testing.T, method, url string) (status int, a about) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, a
}

func pids(s *system.System) map[string]int {
	pids := map[string]int{}
	for _, name := range names() {
		pids[name] = s.Process(name).PID()
	}
	return pids
}

func names() []string {
	names := []string{"postgres", "scheduler", "daprd", "daprd-audit-log", "daprd-analytics"}
	for _, f := range system.Functions {
		names = append(names, f.Name)
	}
	return names
}

func schedule(t *testing.T, environment map[string]string, name string, due time.Time) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+environment["DAPR_GRPC_ENDPOINT"], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewClientWithConnection(conn)
	defer c.Close()
	dueTime := due.UTC().Format(time.RFC3339Nano)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "dapr-api-token", environment["DAPR_API_TOKEN"])
	if err := c.ScheduleJob(ctx, &client.Job{Name: name, DueTime: &dueTime}); err != nil {
		t.Fatal(err)
	}
}

func waitForJobs(t *testing.T, s *system.System, want int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, a := ask(t, http.MethodPost, s.URL()+"/api/jobs/trigger"); a.Jobs == want {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%d jobs have fired, want %d", a.Jobs, want)
		}
	}
}

func TestSystem(t *testing.T) {
	o := options(t)
	var mu sync.Mutex
	done := map[string]bool{}
	o.Report = func(step system.Step) {
		mu.Lock()
		defer mu.Unlock()
		done[step.Name] = step.Done
		if step.Done {
			t.Logf("%-16s %s (%v)", step.Name, step.Text, step.Took.Round(time.Millisecond))
		}
	}
	events := make(chan process.Event, 10)
	o.OnEvent = func(e process.Event) { events <- e }
	s := start(t, o)
	for _, name := range append(names(), "migrations", "dapr") {
		if !done[name] {
			t.Errorf("%s was not reported as done", name)
		}
	}
	environment := s.Environment()

	t.Run("the shell gets all variables", func(t *testing.T) {
		out, err := exec.Command("/bin/sh", "-c", `. "$0" && exec env`, filepath.Join(o.Dir, "dev.env")).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{
			"DUEBELL_URL", "DUEBELL_TOKEN", "DUEBELL_TOKEN_2", "DUEBELL_ADMIN_TOKEN", "DUEBELL_SERVICE_TOKEN",
			"DATABASE_URL", "DAPR_GRPC_ENDPOINT", "DAPR_API_TOKEN", "APP_API_TOKEN",
		} {
			if line := name + "=" + environment[name] + "\n"; environment[name] == "" || !bytes.Contains(out, []byte(line)) {
				t.Errorf("%s is %q, or the shell has another value", name, environment[name])
			}
		}
		info, err := os.Stat(filepath.Join(o.Dir, "dev.env"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("its mode is %v (%v)", info.Mode(), err)
		}
	})

	t.Run("tokens hold", func(t *testing.T) {
		provider, err := oidc.NewProvider(t.Context(), s.URL()+"/dev/issuer")
		if err != nil {
			t.Fatal(err)
		}
		for variable, want := range map[string]map[string]any{
			"DUEBELL_TOKEN":         {"sub": "demo", "email": "demo@example.com", "email_verified": true},
			"DUEBELL_TOKEN_2":       {"sub": "other"},
			"DUEBELL_ADMIN_TOKEN":   {"sub": "admin", "scope": "admin"},
			"DUEBELL_SERVICE_TOKEN": {"sub": "demo-service", "scope": "act"},
		} {
			token, err := provider.Verifier(&oidc.Config{ClientID: "duebell"}).Verify(t.Context(), environment[variable])
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := token.Claims(&got); err != nil {
				t.Fatal(err)
			}
			for _, checked := range []string{"iss", "aud", "iat", "exp"} {
				delete(got, checked)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", variable, diff)
			}
		}
	})

	t.Run("functions know no more than they need", func(t *testing.T) {
		for path, want := range map[string][]string{
			"POST /api/tasks":        {"DAPR_API_TOKEN", "DAPR_GRPC_ENDPOINT", "DATABASE_URL", "HOST", "OIDC_AUDIENCE", "OIDC_ISSUER", "PORT", "SHUTDOWN_GRACE"},
			"GET /api/notifications": {"DAPR_API_TOKEN", "DAPR_GRPC_ENDPOINT", "DATABASE_URL", "HOST", "OIDC_AUDIENCE", "OIDC_ISSUER", "PORT", "SHUTDOWN_GRACE"},
			"GET /api/preferences":   {"DATABASE_URL", "HOST", "OIDC_AUDIENCE", "OIDC_ISSUER", "PORT", "SEND_URL", "SHUTDOWN_GRACE", "SUPPRESSION_KEY", "UNSUBSCRIBE_KEY", "VERIFY_KEY", "WEBHOOK_ALLOWED_HOSTS", "WEBPUSH_PUBLIC_KEY"},
			"GET /m/none":            {"DAPR_API_TOKEN", "DAPR_GRPC_ENDPOINT", "DATABASE_URL", "HOST", "LINK_KEY", "PORT", "SHUTDOWN_GRACE"},
			"POST /api/jobs/trigger": {
				"APP_API_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "DAPR_API_TOKEN", "DAPR_GRPC_ENDPOINT", "DATABASE_URL", "EMAIL_FROM", "FCM_CREDENTIALS", "FCM_URL", "HOST",
				"ONESIGNAL_API_KEY", "ONESIGNAL_APP_ID", "ONESIGNAL_URL", "PORT", "PUBLIC_URL", "SENDGRID_API_KEY", "SENDGRID_URL", "SEND_URL", "SES_REGION", "SES_URL",
				"SHUTDOWN_GRACE", "SMTP_ADDRESS", "SMTP_PASSWORD", "SMTP_TLS", "SMTP_USERNAME", "SNS_REGION", "SNS_URL", "SUPPRESSION_KEY",
				"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM", "TWILIO_URL", "UNSUBSCRIBE_KEY", "WEBHOOK_ALLOWED_HOSTS", "WEBPUSH_KEY", "WEBPUSH_PUBLIC_KEY", "WEBPUSH_SUBJECT",
			},
		} {
			method, path, _ := strings.Cut(path, " ")
			_, a := ask(t, method, s.URL()+path)
			if diff := cmp.Diff(want, slices.Sorted(slices.Values(a.Variables))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", a.Function, diff)
			}
		}
	})

	t.Run("only this machine can connect", func(t *testing.T) {
		for name, pid := range pids(s) {
			for _, address := range listening(t, pid) {
				if host, port, _ := net.SplitHostPort(address); host != "127.0.0.1" && port != schedulerHealthPort(t, o.Dir) {
					t.Errorf("%s listens on %s", name, address)
				}
			}
		}
	})

	t.Run("jobs fire", func(t *testing.T) {
		schedule(t, environment, "now", time.Now())
		waitForJobs(t, s, 1)
	})

	t.Run("a killed function comes back", func(t *testing.T) {
		p := s.Process("get-tasks")
		before := p.PID()
		p.Kill()
		if died := <-events; died.Name != "get-tasks" || died.Err == nil {
			t.Errorf("the event is %v", died)
		}
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if status, a := ask(t, http.MethodGet, s.URL()+"/api/tasks"); status != http.StatusOK || a.PID == before {
			t.Errorf("it answers %d as process %d", status, a.PID)
		}
	})

	t.Run("a stopped function is a 503", func(t *testing.T) {
		if err := s.Process("inbox").Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if status, _ := ask(t, http.MethodGet, s.URL()+"/api/notifications"); status != http.StatusServiceUnavailable {
			t.Errorf("it answers %d", status)
		}
		if err := s.Process("inbox").Start(); err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if status, _ := ask(t, http.MethodGet, s.URL()+"/api/notifications"); status != http.StatusOK {
			t.Errorf("it answers %d", status)
		}
	})

	t.Run("its folder is taken", func(t *testing.T) {
		_, err := system.Start(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
			t.Errorf("a second start says %v", err)
		}
	})

	due := time.Now().Add(15 * time.Second) // after it has stopped, on a busy machine, too
	schedule(t, environment, "later", due)
	were := pids(s)
	stop(t, s)
	for name, pid := range were {
		if pid == 0 || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			t.Errorf("%s, process %d, is still there", name, pid)
		}
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "dev.env")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("dev.env is still there (%v)", err)
	}
	again := start(t, o)
	for name, value := range again.Environment() {
		if value != environment[name] && !strings.HasPrefix(name, "DUEBELL_") {
			t.Errorf("%s has changed from %s to %s", name, environment[name], value)
		}
	}
	if again.URL() != s.URL() {
		t.Errorf("the URL has changed from %s to %s", s.URL(), again.URL())
	}
	waitForJobs(t, again, 1)
	if early := time.Until(due); early > 0 {
		t.Errorf("the job fired %v early", early)
	}
}

func schedulerHealthPort(t *testing.T, dir string) string {
	t.Helper()
	kept, err := os.ReadFile(filepath.Join(dir, "ports.json"))
	if err != nil {
		t.Fatal(err)
	}
	var ports struct{ Scheduler struct{ Health int } }
	if err := json.Unmarshal(kept, &ports); err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(ports.Scheduler.Health)
}

func TestFailureStopsEverythingAndSaysWhy(t *testing.T) {
	o := options(t)
	o.Env = []string{"BROKEN=update-task"}
	_, err := system.Start(t.Context(), o)
	for _, want := range []string{"update-task", "exit status 3", "BROKEN is set", filepath.Join(o.Dir, "logs", "update-task.log")} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if err != nil && strings.Count(err.Error(), "update-task") > 4 {
		t.Errorf("the error repeats itself: %v", err)
	}
	if children := children(t); len(children) > 0 {
		t.Errorf("it left %v", children)
	}
	o.Env = nil
	start(t, o)
}

func TestStartEndsWithItsContext(t *testing.T) {
	o := options(t)
	ctx, cancel := context.WithCancel(t.Context())
	o.Report = func(step system.Step) {
		if step.Name == "scheduler" && step.Done {
			cancel()
		}
	}
	if _, err := system.Start(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("Start says %v", err)
	}
	if children := children(t); len(children) > 0 {
		t.Errorf("it left %v", children)
	}
}

func TestPortThatIsTaken(t *testing.T) {
	o := options(t)
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	o.Port = busy.Addr().(*net.TCPAddr).Port
	_, err = system.Start(t.Context(), o)
	if want := "PORT=" + strconv.Itoa(o.Port+1) + " make run"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error does not say %q: %v", want, err)
	}
}

func TestFunctionThatIsNotBuilt(t *testing.T) {
	o := options(t)
	o.FunctionsDir = t.TempDir()
	if _, err := system.Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "create-task is not built") {
		t.Errorf("Start says %v", err)
	}
}

// children returns this process's children, as ps shows them.
func children(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("ps", "-eo", "ppid=,pid=,args=").Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); fields[0] == strconv.Itoa(os.Getpid()) && fields[2] != "ps" {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}
