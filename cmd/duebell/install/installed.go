package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/duebell/duebell/shared/store/migrate"
)

func (i *inspection) migration(ctx context.Context) []Finding {
	logs := "kubectl -n duebell logs job/migrate"
	var job workload
	switch err := i.Kubectl.get(ctx, "/apis/batch/v1/namespaces/"+namespace+"/jobs/migrate", &job); {
	case errors.Is(err, errAbsent):
		return nil // it was done and then removed; schema reports the database's version
	case err != nil:
		return []Finding{unseen("the job migrate", err)}
	}
	switch {
	case find(job.Status.Conditions, "Complete").Status == "True":
		return []Finding{good("the job migrate is complete")}
	case find(job.Status.Conditions, "Failed").Status == "True":
		return []Finding{bad(logs, "the job migrate has failed: %s", find(job.Status.Conditions, "Failed").says())}
	}
	return []Finding{hint(logs, "the job migrate is not done yet")}
}

func (i *inspection) daprds(ctx context.Context) (found []Finding) {
	deployments, err := list[workload](ctx, i.Kubectl, "/apis/apps/v1/namespaces/"+namespace+"/deployments")
	if err != nil {
		return []Finding{unseen("Deployments", err)}
	}
	var ready []string
	for _, d := range deployments {
		name := d.Metadata.Name
		if name != "daprd" && !strings.HasPrefix(name, "daprd-") {
			continue // a pod of Knative's
		}
		switch n := d.Status.AvailableReplicas; {
		case d.wants() == 0:
			found = append(found, bad("kubectl -n duebell scale deployment/"+name+" --replicas=2", "%s is scaled to nothing, as for a restore: Dapr wakes nobody", name))
		case n == 0:
			why := find(d.Status.Conditions, "ReplicaFailure")
			if why.Status != "True" {
				why = find(d.Status.Conditions, "Available")
			}
			found = append(found, bad("kubectl -n duebell describe pods -l duebell.dev/part", "%s: no copy is ready: %s", name, why.says()))
		case n < d.wants():
			found = append(found, hint("kubectl -n duebell get pods", "%s: %d of %d copies are ready", name, n, d.wants()))
		default:
			ready = append(ready, name)
		}
	}
	switch {
	case len(found) > 0:
		return append(found, i.withoutDaprd(ctx)...)
	case !slices.Contains(ready, "daprd"):
		return []Finding{bad(i.apply(), "there is no Deployment daprd")}
	}
	return []Finding{good("%s: ready", strings.Join(ready, ", "))}
}

// withoutDaprd finds pods that were created while Dapr's injector did not answer. They have no
// daprd, and never get one.
func (i *inspection) withoutDaprd(ctx context.Context) (found []Finding) {
	pods, err := list[pod](ctx, i.Kubectl, "/api/v1/namespaces/"+namespace+"/pods?labelSelector=duebell.dev%2Fpart")
	if err != nil {
		return []Finding{unseen("pods", err)}
	}
	for _, p := range pods {
		has := func(name string) bool {
			return slices.ContainsFunc(p.Spec.Containers, func(c container) bool { return c.Name == name })
		}
		if has("pause") && !has("daprd") {
			found = append(found, bad("kubectl -n duebell delete pod "+p.Metadata.Name, "%s was made while Dapr's injector did not answer, and has no daprd in it", p.Metadata.Name))
		}
	}
	return found
}

// apply returns the command that applies everything.
func (i *inspection) apply() string {
	if i.Overlay == "" {
		return "kubectl apply -k manifests/overlays/production"
	}
	return "kubectl apply -k " + i.Overlay
}

// functions checks Knative's Services, which OpenFunction creates, too.
func (i *inspection) functions(ctx context.Context) (found []Finding) {
	services, err := list[workload](ctx, i.Kubectl, "/apis/serving.knative.dev/v1/namespaces/"+namespace+"/services")
	if err != nil {
		return []Finding{unseen("Knative's Services", err)}
	}
	ready := 0
	for _, s := range services {
		if c := find(s.Status.Conditions, "Ready"); c.Status != "True" {
			found = append(found, bad("kubectl -n duebell describe services.serving.knative.dev "+s.Metadata.Name, "%s is not ready: %s", s.Metadata.Name, c.says()))
			continue
		}
		ready++
	}
	for _, o := range i.of("serving.knative.dev", "Service") {
		if !slices.ContainsFunc(services, func(s workload) bool { return s.Metadata.Name == o.Metadata.Name }) {
			found = append(found, bad(i.apply(), "%s is not there", o.Metadata.Name))
		}
	}
	if len(found) == 0 {
		found = append(found, good("%d are ready", ready))
	}
	return found
}

func (i *inspection) schedules(ctx context.Context) (found []Finding) {
	sources, err := list[workload](ctx, i.Kubectl, "/apis/sources.knative.dev/v1/namespaces/"+namespace+"/pingsources")
	if err != nil {
		return []Finding{unseen("PingSources", err)}
	}
	for _, name := range []string{"retry-dlq", "nightly-cleanup"} {
		n := slices.IndexFunc(sources, func(s workload) bool { return s.Metadata.Name == name })
		if n < 0 {
			found = append(found, bad(i.apply(), "nothing invokes %s: its PingSource is not there", name))
			continue
		}
		if c := find(sources[n].Status.Conditions, "Ready"); c.Status != "True" {
			found = append(found, bad("kubectl -n duebell describe pingsources.sources.knative.dev "+name, "nothing invokes %s: %s", name, c.says()))
		}
	}
	if len(found) == 0 {
		found = append(found, good("time invokes retry-dlq and nightly-cleanup"))
	}
	return found
}

func (i *inspection) route(ctx context.Context) (found []Finding) {
	var r struct {
		Status struct {
			Parents []struct {
				Conditions []condition `json:"conditions"`
			} `json:"parents"`
		} `json:"status"`
	}
	if len(i.of("core.openfunction.io", "Function")) > 0 {
		return nil // its routes are OpenFunction's
	}
	switch err := i.Kubectl.get(ctx, "/apis/gateway.networking.k8s.io/v1/namespaces/"+namespace+"/httproutes/"+namespace, &r); {
	case errors.Is(err, errAbsent):
		return []Finding{bad(i.apply(), "there is no HTTPRoute %s", namespace)}
	case err != nil:
		return []Finding{unseen("the HTTPRoute", err)}
	}
	describe := "kubectl -n duebell describe httproutes.gateway.networking.k8s.io " + namespace
	for _, parent := range r.Status.Parents {
		for _, kind := range []string{"Accepted", "ResolvedRefs"} {
			if c := find(parent.Conditions, kind); c.Status == "False" {
				found = append(found, bad(describe, "the gateway does not serve it: %s", c.says()))
			}
		}
	}
	switch {
	case len(r.Status.Parents) == 0:
		return []Finding{bad(describe, "no gateway has taken it")}
	case len(found) == 0:
		return []Finding{good("the gateway serves it")}
	}
	return found
}

// sweep checks whether anything is overdue. Whatever Dapr does, the sweep should have fired it.
func (i *inspection) sweep(ctx context.Context) []Finding {
	url, _ := i.databaseURL()
	if url == "" || badURL(url) != nil {
		return nil // database has reported it
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := connect(ctx, url.Reveal())
	if err != nil {
		return nil // as before
	}
	defer c.Close(context.WithoutCancel(ctx))
	if version, err := schemaOf(ctx, c); err != nil || version == 0 {
		return []Finding{bad("kubectl -n duebell logs job/migrate", "the functions are there, and the database is not migrated")}
	} else if want, err := migrate.Version(); err == nil && version < want {
		return nil // schema has reported it; the columns may differ
	}
	var count int
	var oldest *time.Time
	err = c.QueryRow(ctx, `select count(*), min(fire_at) from (select fire_at from reminders where state = 'armed' and fire_at < now() - interval '3 minutes' limit 10000) overdue`).Scan(&count, &oldest)
	if err != nil {
		return []Finding{hint("", "what is overdue can't be told: %v", explain(err))}
	}
	if count > 0 {
		return []Finding{bad("kubectl -n duebell logs -l serving.knative.dev/service=retry-dlq -c user-container --tail=100",
			"%s overdue, the oldest since %s: neither Dapr nor the sweep has told them", some(count), oldest.UTC().Format(time.RFC3339))}
	}
	return []Finding{good("nothing is overdue")}
}

func some(count int) string {
	switch {
	case count == 1:
		return "1 reminder is"
	case count >= 10000:
		return "10000 reminders or more are"
	}
	return fmt.Sprintf("%d reminders are", count)
}
