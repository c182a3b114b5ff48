package system

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/duebell/duebell/local/dapr"
	"github.com/duebell/duebell/local/file"
	"github.com/duebell/duebell/local/gateway"
	"github.com/duebell/duebell/local/ingress"
	"github.com/duebell/duebell/local/issuer"
	"github.com/duebell/duebell/local/link"
	"github.com/duebell/duebell/local/postgres"
	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/vapid"
	"github.com/duebell/duebell/shared/web"
)

func (s *System) start(ctx context.Context) (err error) {
	for _, dir := range []string{"logs", "secrets"} {
		if err := os.MkdirAll(s.path(dir), 0o700); err != nil {
			return err
		}
	}
	if err := removeFile(s.path(environmentFile)); err != nil { // of a system that was killed
		return err
	}
	for _, f := range s.functions {
		if _, err := os.Stat(s.program(f)); err != nil {
			return fmt.Errorf("the function %s is not built: %w", f.Name, err)
		}
	}
	random := func() ([]byte, error) { return []byte(rand.Text() + rand.Text()), nil }
	for _, kept := range []struct {
		name     string
		secret   *string
		generate func() ([]byte, error)
	}{
		{"dapr-api-token", &s.secrets.daprAPI, random},
		{"app-api-token", &s.secrets.appAPI, random},
		{"unsubscribe-key", &s.secrets.unsubscribe, random},
		{"suppression-key", &s.secrets.suppression, random},
		{"verify-key", &s.secrets.verify, random},
		{"link-key", &s.secrets.link, random},
		{"webpush-key", &s.secrets.webPush, newWebPushKey},
	} {
		secret, err := file.Keep(s.path("secrets", kept.name), kept.generate)
		if err != nil {
			return err
		}
		*kept.secret = string(secret)
	}
	webPush, err := vapid.Keys{Keys: []config.Secret{config.Secret(s.secrets.webPush)}}.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", s.path("secrets", "webpush-key"), err)
	}
	s.secrets.webPushPublic = webPush[0].Public
	if s.ports, err = choosePorts(s.path("ports.json"), s.functions, s.daprds(), s.options.Port); err != nil {
		return err
	}
	if err := s.serve(); err != nil {
		return err
	}
	if err := s.startLinks(); err != nil {
		return err
	}
	if err := s.startBroker(); err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.startDatabaseAndFunctions(groupCtx) })
	group.Go(func() error { return s.startDapr(groupCtx) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := s.ports.save(s.path("ports.json")); err != nil {
		return err
	}
	if !s.options.NoSchedules {
		stop := s.startSchedules()
		s.mu.Lock()
		s.stopSchedules = stop
		s.mu.Unlock()
	}
	return s.writeEnvironment()
}

// serve starts what runs in this process.
func (s *System) serve() (err error) {
	s.url = "http://" + process.Address(s.ports.Gateway)
	if s.issuer, err = issuer.New(s.url+"/dev/issuer", s.path("secrets", "issuer-key")); err != nil {
		return err
	}
	s.issuer.Offer(s.signIn())
	s.sandbox = sandbox.New()
	own := http.NewServeMux()
	own.Handle("/dev/issuer/", s.issuer.Handler())
	own.Handle("/", s.sandbox.Handler())
	s.gateway = gateway.New(s.ports.backends(), own)

	if s.options.Ingress {
		var instances []*url.URL
		for _, f := range s.functions {
			if cmp.Or(f.Program, f.Name) == trigger {
				instances = append(instances, s.ports.backends()[f.Name])
			}
		}
		s.ingress = ingress.New(instances...)
		if err := s.listen(s.ports.Ingress, s.ingress); err != nil {
			return err
		}
	}
	err = s.listen(s.ports.Gateway, s.gateway)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d of this machine is taken: choose another one, for instance PORT=%d make run", s.ports.Gateway, s.ports.Gateway+1)
	}
	if err != nil {
		return err
	}
	if s.mail, err = net.Listen("tcp4", process.Address(s.ports.Mail)); err != nil {
		return err
	}
	s.served.Go(func() { _ = s.sandbox.ServeSMTP(s.mail, nil) }) // ends when it is closed
	return nil
}

// startLinks starts the links of Options.Links.
func (s *System) startLinks() error {
	if !s.options.Links {
		return nil
	}
	to := map[string]int{firstDaprd: s.ports.Daprds[firstDaprd].GRPC, scheduler: s.ports.Scheduler.API}
	for _, f := range s.functions {
		if f.Subscribes {
			to[f.Name] = s.ports.Functions[f.Name]
		}
	}
	s.links = map[string]*link.Link{}
	for part, port := range to {
		l, err := link.New(port)
		if err != nil {
			return err
		}
		s.links[part] = l
	}
	return nil
}

// linked returns the port by which others reach a part: its own, or that of its link.
func (s *System) linked(part string, port int) int {
	if l := s.links[part]; l != nil {
		return l.Port()
	}
	return port
}

// listen serves on a port until the system stops.
func (s *System) listen(port int, handler http.Handler) error {
	listener, err := net.Listen("tcp4", process.Address(port))
	if err != nil {
		return err
	}
	server := web.NewServer(handler)
	s.servers = append(s.servers, server)
	s.served.Go(func() { _ = server.Serve(listener) }) // ends when it is closed
	return nil
}

func (s *System) startDatabaseAndFunctions(ctx context.Context) error {
	databaseURL := s.options.DatabaseURL
	if databaseURL == "" {
		err := s.step(ctx, "postgres", "starting", func(ctx context.Context, say func(string)) (string, error) {
			server, err := postgres.Start(ctx, postgres.Options{
				Dir: s.path("postgres"), Port: s.ports.Postgres, LogFile: s.log("postgres"), OnEvent: s.event, Report: say,
			})
			if err != nil {
				return "", err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.processes["postgres"] = server.Process
			s.stop = func() { _ = server.Stop(context.Background()) } // it has stopped, and lets go of its folder
			databaseURL = server.URL()
			return process.Address(server.Port()), nil
		})
		if err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.databaseURL = databaseURL
	s.mu.Unlock()
	err := s.step(ctx, "migrations", "bringing the database up to date", func(ctx context.Context, _ func(string)) (string, error) {
		if err := s.options.Migrate(ctx, databaseURL); err != nil {
			return "", fmt.Errorf("bringing the database up to date: %w", err)
		}
		return "the database is up to date", nil
	})
	if err != nil {
		return err
	}
	variables := s.variables()
	variables["DAPR_GRPC_ENDPOINT"] = process.Address(s.linked(firstDaprd, s.ports.Daprds[firstDaprd].GRPC))
	group, ctx := errgroup.WithContext(ctx)
	for _, f := range s.functions {
		group.Go(func() error {
			return s.step(ctx, f.Name, "starting", func(ctx context.Context, _ func(string)) (string, error) {
				return process.Address(s.ports.Functions[f.Name]), s.startFunction(ctx, f, variables)
			})
		})
	}
	return group.Wait()
}

// newWebPushKey makes the private key of Web Push.
func newWebPushKey() ([]byte, error) {
	key, err := vapid.New()
	if err != nil {
		return nil, err
	}
	private, err := key.Private()
	return []byte(private.Reveal()), err
}

// variables returns all variables that functions may need.
func (s *System) variables() map[string]string {
	// On this machine, webhooks reach only the sandbox and the hosts in the options.
	webhooks := append([]string{process.Address(s.ports.Gateway)}, s.options.WebhookHosts...)
	variables := map[string]string{
		"DATABASE_URL":          s.databaseURL,
		"DAPR_GRPC_ENDPOINT":    process.Address(s.ports.Daprds[firstDaprd].GRPC),
		"DAPR_API_TOKEN":        s.secrets.daprAPI,
		"APP_API_TOKEN":         s.secrets.appAPI,
		"OIDC_ISSUER":           s.issuer.URL(),
		"OIDC_AUDIENCE":         audience,
		"CONSOLE_SCOPES":        "openid,email,admin",
		"EMAIL_FROM":            sender,
		"PUBLIC_URL":            s.url,
		"UNSUBSCRIBE_KEY":       s.secrets.unsubscribe,
		"SUPPRESSION_KEY":       s.secrets.suppression,
		"VERIFY_KEY":            s.secrets.verify,
		"LINK_KEY":              s.secrets.link,
		"WEBPUSH_KEY":           s.secrets.webPush,
		"WEBPUSH_PUBLIC_KEY":    s.secrets.webPushPublic,
		"WEBPUSH_SUBJECT":       "mailto:duebell@example.com",
		"WEBHOOK_ALLOWED_HOSTS": strings.Join(webhooks, ","),
		"SEND_URL":              "http://" + process.Address(s.ports.Functions[sendFunction]),
	}
	maps.Copy(variables, s.sandbox.Environment(s.url))
	maps.Copy(variables, sandbox.SMTPEnvironment(process.Address(s.ports.Mail)))
	return variables
}

func (s *System) startFunction(ctx context.Context, f Function, variables map[string]string) error {
	port := s.ports.Functions[f.Name]
	host, _, _ := strings.Cut(process.Address(port), ":")
	environment := []string{"HOST=" + host, fmt.Sprintf("PORT=%d", port), "SHUTDOWN_GRACE=" + drainTimeout.String()}
	for _, name := range f.Variables {
		environment = append(environment, name+"="+variables[name])
	}
	return s.run(ctx, f.Name, func() (*process.Process, error) {
		return process.Start(process.Spec{
			Name: f.Name, Path: s.program(f), Env: append(environment, s.options.Env...), Dir: s.options.Dir,
			LogFile: s.log(f.Name), StopTimeout: drainTimeout + time.Second,
			Ready: process.Answers("http://"+process.Address(port)+"/readyz", http.StatusOK), Restart: true,
		}, s.event)
	})
}

func (s *System) startDapr(ctx context.Context) error {
	var runtime dapr.Runtime
	err := s.step(ctx, "dapr", "looking for the runtime", func(ctx context.Context, say func(string)) (_ string, err error) {
		runtime, err = dapr.Find(ctx, dapr.FindOptions{Report: say})
		return dapr.Version + " in " + filepath.Dir(runtime.Daprd), err
	})
	if err != nil {
		return err
	}
	err = s.step(ctx, scheduler, "starting", func(ctx context.Context, _ func(string)) (string, error) {
		return process.Address(s.ports.Scheduler.API), s.run(ctx, scheduler, func() (*process.Process, error) {
			return dapr.StartScheduler(dapr.SchedulerOptions{
				Runtime: runtime, Dir: s.path(scheduler), Ports: s.ports.Scheduler, ReachedAt: s.linked(scheduler, s.ports.Scheduler.API), LogFile: s.log(scheduler), OnEvent: s.event,
			})
		})
	})
	if err != nil {
		return err
	}
	if err := s.writeResources(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, d := range s.daprds() {
		group.Go(func() error { return s.startDaprd(ctx, runtime, d) })
	}
	return group.Wait()
}

// daprd is a daprd: the name of its process, the port for its callbacks, and whether it has jobs.
type daprd struct {
	name, appID string
	appPort     func(ports) int
	jobs        bool
}

// daprds returns those that are to run.
func (s *System) daprds() []daprd {
	callbacks := func(p ports) int {
		if s.options.Ingress {
			return p.Ingress
		}
		return p.Functions[trigger]
	}
	daprds := []daprd{{firstDaprd, appID, callbacks, true}}
	for n := 2; n <= s.options.Daprds; n++ {
		daprds = append(daprds, daprd{fmt.Sprintf("%s-%d", firstDaprd, n), appID, callbacks, true})
	}
	for _, f := range s.functions {
		if f.Subscribes {
			daprds = append(daprds, daprd{firstDaprd + "-" + f.Name, f.Name, func(p ports) int { return s.linked(f.Name, p.Functions[f.Name]) }, false})
		}
	}
	return daprds
}

func (s *System) startDaprd(ctx context.Context, runtime dapr.Runtime, d daprd) error {
	return s.step(ctx, d.name, "starting", func(ctx context.Context, say func(string)) (string, error) {
		own, jobsPort := s.ports.Daprds[d.name], 0
		if d.jobs {
			jobsPort = s.linked(scheduler, s.ports.Scheduler.API)
		}
		err := s.run(ctx, d.name, func() (*process.Process, error) {
			return dapr.StartDaprd(dapr.DaprdOptions{
				Name: d.name, Runtime: runtime, Dir: s.path(d.name), AppID: d.appID, AppPort: d.appPort(s.ports), Ports: own,
				APIToken: s.secrets.daprAPI, AppToken: s.secrets.appAPI, SchedulerPort: jobsPort,
				ResourcesPaths: s.resources(), Env: []string{"KAFKA_BROKERS=" + s.broker.Address()},
				LogFile: s.log(d.name), OnEvent: s.event,
			})
		})
		if err != nil {
			return "", err
		}
		if d.jobs {
			say("connecting; if the scheduler was killed, this takes 20 seconds")
		}
		return process.Address(own.GRPC), s.appIsConnected(ctx, own)
	})
}

// run starts a process, keeps it, and waits until it is ready.
func (s *System) run(ctx context.Context, name string, start func() (*process.Process, error)) error {
	p, err := start()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.processes[name] = p
	s.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not after %v; its log is %s", readyTimeout, s.log(name)))
	defer cancel()
	return p.Ready(ctx)
}

func (s *System) appIsConnected(ctx context.Context, daprd dapr.DaprdPorts) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		err := daprd.AppIsConnected(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("daprd has not found its app: %w: %w", err, context.Cause(ctx))
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// step reports a part of the start. do gets a function to report its progress, and returns the
// result.
func (s *System) step(ctx context.Context, name, doing string, do func(context.Context, func(string)) (string, error)) error {
	started := time.Now()
	say := func(text string) { s.report(Step{Name: name, Text: text}) }
	say(doing)
	text, err := do(ctx, say)
	if err == nil {
		s.report(Step{Name: name, Text: text, Done: true, Took: time.Since(started)})
	}
	return err
}

func (s *System) report(step Step) {
	if s.options.Report != nil {
		s.callbacks.Lock()
		defer s.callbacks.Unlock()
		s.options.Report(step)
	}
}

func (s *System) event(e process.Event) {
	if s.options.OnEvent != nil {
		s.callbacks.Lock()
		defer s.callbacks.Unlock()
		s.options.OnEvent(e)
	}
}
