package install

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/duebell/duebell/shared/config"
)

// Deploy installs Duebell or upgrades it, by the steps of docs/deploy.md: it checks the
// requirements, creates missing secrets, migrates, and applies everything. If a finding is Bad, it
// changes nothing. It may be interrupted and repeated. The error says what to do; findings are
// passed to o.Found.
func Deploy(ctx context.Context, o Options) error {
	planned := map[string]Secrets{}
	maps.Copy(planned, o.Planned)
	if err := planTokens(ctx, o.Kubectl, planned); err != nil {
		return err
	}
	o.Planned = planned
	i := &inspection{Options: o}
	count, err := i.begin(ctx)
	if err == nil {
		n, _ := i.run(ctx, before)
		count += n
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case count > 0:
		return errors.New("nothing was changed in the cluster: see what is marked, and call it again")
	}
	if err := i.prepare(ctx); err != nil {
		return err
	}
	for _, s := range i.steps() {
		if err := i.carryOut(ctx, s); err != nil {
			if ctx.Err() == nil {
				_, _ = i.run(ctx, after) // it reports the causes
			}
			return err
		}
	}
	count, err = i.run(ctx, after)
	if err == nil && count > 0 {
		err = errors.New("everything is applied, and not all of it works: see what is marked")
	}
	return err
}

// planTokens plans the tokens between daprd and the functions, and the key of verifications. Two
// secrets have the app token and must agree, whichever of them exists.
func planTokens(ctx context.Context, k Kubectl, planned map[string]Secrets) error {
	app, err := newToken()
	if err != nil {
		return err
	}
	api, err := newToken()
	if err != nil {
		return err
	}
	if shown, err := k.secret(ctx, appToken); err == nil && shown["token"] != "" {
		app = shown["token"]
	} else if accepted, err := k.secret(ctx, callbackSecret); err == nil && accepted["APP_API_TOKEN"] != "" {
		first, _, _ := strings.Cut(accepted["APP_API_TOKEN"].Reveal(), ",")
		app = config.Secret(first)
	}
	for secret, key := range map[string]string{verifySecret: "VERIFY_KEY", linksSecret: "LINK_KEY"} {
		value, err := newToken()
		if err != nil {
			return err
		}
		planned[secret] = Secrets{key: value}
	}
	planned[apiToken] = Secrets{"token": api}
	planned[appToken] = Secrets{"token": app}
	planned[callbackSecret] = Secrets{"APP_API_TOKEN": app}
	return ctx.Err()
}

func newToken() (config.Secret, error) {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	return config.Secret(hex.EncodeToString(random)), nil
}

// prepare creates the namespace and the missing secrets. Secrets reach kubectl by its standard
// input, so they are in no file and on no command line.
func (i *inspection) prepare(ctx context.Context) error {
	i.Doing("secrets", "making those that are not there")
	defer i.Doing("secrets", "")
	if _, err := i.Kubectl.output(ctx, "", "apply", "-f", "manifests/namespace/namespace.yaml"); err != nil {
		return fmt.Errorf("make the namespace: %w", err)
	}
	for _, name := range sorted(i.needs()) {
		values, ok := i.Planned[name]
		if !ok {
			continue
		}
		switch _, err := i.Kubectl.secret(ctx, name); {
		case err == nil:
			continue // it stays as it is
		case !errors.Is(err, errAbsent):
			return fmt.Errorf("look for the secret %s: %w", name, err)
		}
		plain := map[string]string{}
		for key, value := range values {
			plain[key] = value.Reveal()
		}
		manifest, err := json.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "Secret", "metadata": map[string]string{"name": name, "namespace": namespace}, "stringData": plain,
		})
		if err != nil {
			return fmt.Errorf("make the secret %s: %w", name, err)
		}
		if _, err := i.Kubectl.output(ctx, string(manifest), "-n", namespace, "create", "-f", "-"); err != nil {
			return fmt.Errorf("make the secret %s: %w", name, err)
		}
		i.report("secrets", good("%s: made", name))
	}
	return nil
}

// step is one call of kubectl from docs/deploy.md.
type step struct {
	name, done string
	args       []string
	// progress, if set, reports the progress of what is waited for. Its error ends the wait.
	progress func(context.Context) (string, error)
}

func (i *inspection) steps() []step {
	return []step{
		{"migrate", "", []string{"-n", namespace, "delete", "job", "migrate", "--ignore-not-found"}, nil},
		{"migrate", "", []string{"apply", "-k", i.Overlay, "-l", "duebell.dev/part=migrate"}, nil},
		{"migrate", "the database is migrated", []string{"-n", namespace, "wait", "--for=condition=complete", "job/migrate", "--timeout=10m"}, i.migrating},
		{"apply", "everything is applied", []string{"apply", "-k", i.Overlay}, nil},
		{"wait for daprd", "daprd is ready", []string{"-n", namespace, "rollout", "status", "deployment/daprd"}, i.starting},
		{"wait for functions", "all functions are ready", []string{"-n", namespace, "wait", "--for=condition=Ready", "services.serving.knative.dev", "--all", "--timeout=10m"}, i.getting},
	}
}

// carryOut runs a step, and shows its progress.
func (i *inspection) carryOut(ctx context.Context, s step) error {
	i.Doing(s.name, "kubectl "+strings.Join(s.args, " "))
	defer i.Doing(s.name, "")
	working, end := context.WithCancelCause(ctx)
	defer end(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for s.progress != nil {
			text, err := s.progress(working)
			switch {
			case err != nil:
				end(err)
				return
			case text != "" && working.Err() == nil:
				i.Doing(s.name, text)
			}
			select {
			case <-working.Done():
				return
			case <-time.After(2 * time.Second):
			}
		}
	}()
	_, err := i.Kubectl.output(working, "", s.args...)
	cause := context.Cause(working)
	end(nil)
	<-watched
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && cause != nil:
		return fmt.Errorf("%s: %w", s.name, cause)
	case err != nil:
		return fmt.Errorf("%s: %w", s.name, err)
	case s.done != "":
		i.report(s.name, good("%s", s.done))
	}
	return nil
}

// migrating ends the wait for a migration that has failed; kubectl would go on waiting.
func (i *inspection) migrating(ctx context.Context) (string, error) {
	var job workload
	if err := i.Kubectl.get(ctx, "/apis/batch/v1/namespaces/"+namespace+"/jobs/migrate", &job); err != nil {
		return "", nil //nolint:nilerr // kubectl waits, and says so if it can't
	}
	if failed := find(job.Status.Conditions, "Failed"); failed.Status == "True" {
		return "", fmt.Errorf("the job has failed: %s; kubectl -n duebell logs job/migrate says more", failed.says())
	}
	return "the job migrates the database", nil
}

func (i *inspection) starting(ctx context.Context) (string, error) {
	var d workload
	if err := i.Kubectl.get(ctx, "/apis/apps/v1/namespaces/"+namespace+"/deployments/daprd", &d); err != nil {
		return "", nil //nolint:nilerr // as above
	}
	return fmt.Sprintf("%d of %d copies are ready", d.Status.AvailableReplicas, d.wants()), nil
}

func (i *inspection) getting(ctx context.Context) (string, error) {
	services, err := list[workload](ctx, i.Kubectl, "/apis/serving.knative.dev/v1/namespaces/"+namespace+"/services")
	if err != nil {
		return "", nil //nolint:nilerr // as above
	}
	var waiting []string
	for _, s := range services {
		if find(s.Status.Conditions, "Ready").Status != "True" {
			waiting = append(waiting, s.Metadata.Name)
		}
	}
	text := fmt.Sprintf("%d of %d functions are ready", len(services)-len(waiting), len(services))
	if len(waiting) > 0 {
		text += "; not yet: " + strings.Join(waiting, ", ")
	}
	return text, nil
}
