package install

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify/webpush"
	"github.com/duebell/duebell/shared/reports"
	"github.com/duebell/duebell/shared/store"
)

// isPlaceholder reports whether a host is one of the examples.
func isPlaceholder(host string) bool {
	return host == "example.com" || strings.HasSuffix(host, ".example.com")
}

func (i *inspection) images(context.Context) []Finding {
	var unset, moving []string
	count := 0
	for _, o := range i.objects {
		_, containers, err := o.pods()
		if err != nil {
			return []Finding{bad("kubectl kustomize "+i.Overlay, "%s/%s can't be read: %v", o.Kind, o.Metadata.Name, err)}
		}
		for _, c := range containers {
			if c.Name == "pause" { // Kubernetes' own container, beside daprd
				continue
			}
			count++
			registry, _, found := strings.Cut(c.Image, "/")
			if !found || isPlaceholder(registry) {
				unset = append(unset, o.Metadata.Name)
			}
			if !strings.Contains(c.Image, "@sha256:") {
				moving = append(moving, o.Metadata.Name)
			}
		}
	}
	const publish = "make images REPO=registry.example.com/duebell && cp build/images/kustomization.yaml manifests/images/kustomization.yaml"
	switch {
	case i.objects == nil:
		return nil
	case len(unset) > 0:
		return []Finding{bad(publish, "%d of %d images are those of the example: publish yours, and say so in manifests/images", len(unset), count)}
	case len(moving) > 0:
		return []Finding{hint(publish, "%d of %d images are named without a digest: what runs may change by itself", len(moving), count)}
	}
	return []Finding{good("%d images, each named by its digest", count)}
}

// signIn checks whether the functions will start with the settings of sign-ins, and whether the
// issuers answer.
func (i *inspection) signIn(ctx context.Context) (found []Finding) {
	edit := "${EDITOR:-vi} " + i.Overlay + "/settings.yaml"
	n := slices.IndexFunc(i.objects, func(o object) bool { return o.Kind == "ConfigMap" && o.Metadata.Name == "duebell-sign-in" })
	if n < 0 {
		if i.objects == nil {
			return nil
		}
		return []Finding{bad(edit, "the overlay has no ConfigMap duebell-sign-in")}
	}
	var environ []string
	for name, value := range i.objects[n].Data {
		environ = append(environ, name+"="+value)
	}
	cfg, err := config.Parse[auth.Config](environ)
	if err != nil {
		for _, problem := range strings.Split(err.Error(), "\n") {
			found = append(found, bad(edit, "%s", problem))
		}
		return found
	}
	issuers := []string{cfg.Issuer}
	for _, further := range cfg.Further {
		issuers = append(issuers, further.URL)
	}
	for _, issuer := range issuers {
		u, err := url.Parse(issuer)
		if err == nil && isPlaceholder(u.Hostname()) {
			found = append(found, bad(edit, "the issuer is that of the example, %s: set yours, and the audience of its tokens", issuer))
			continue
		}
		found = append(found, i.askIssuer(ctx, issuer, edit))
	}
	return found
}

// askIssuer requests what functions will request from an issuer.
func (i *inspection) askIssuer(ctx context.Context, issuer, edit string) Finding {
	address := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var document struct {
		Issuer  string `json:"issuer"`
		KeysURL string `json:"jwks_uri"`
	}
	u, err := url.Parse(address)
	if err != nil {
		return bad(edit, "%s is not a URL", issuer)
	}
	if path, inside := proxied(u); inside {
		// Its name is valid in the cluster only, so the request goes through the API server.
		if err := i.Kubectl.get(ctx, path, &document); err != nil {
			return hint("", "the issuer %s is in the cluster, and can't be asked from here: %v", issuer, err)
		}
	} else if err := fetch(ctx, address, &document); err != nil {
		return bad("curl -sS "+address, "the issuer %s does not answer as one: %v", issuer, err)
	}
	if document.Issuer != issuer {
		return bad(edit, "the issuer is set to %q, and calls itself %q: its tokens would be refused", issuer, document.Issuer)
	}
	return good("the issuer %s answers", issuer)
}

// proxied returns the path by which the API server passes a request on to a service of the cluster.
// inside is false if the URL is not a service's.
func proxied(u *url.URL) (path string, inside bool) {
	name, found := strings.CutSuffix(strings.TrimSuffix(u.Hostname(), ".cluster.local"), ".svc")
	service, in, two := strings.Cut(name, ".")
	if !found || !two || strings.Contains(in, ".") {
		return "", false
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return fmt.Sprintf("/api/v1/namespaces/%s/services/%s:%s:%s/proxy%s", in, u.Scheme, service, port, u.Path), true
}

func fetch(ctx context.Context, address string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return errors.Unwrap(err) // without the URL, which is shown already
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return errors.New(response.Status)
	case json.Unmarshal(body, into) != nil:
		return errors.New("what it answers is no JSON")
	}
	return nil
}

// need is a secret that pods use.
type need struct {
	keys     []string // those that must be there
	may      []string // those that may be
	optional bool
}

// needs returns the secrets that the overlay's pods and components use, by name.
func (i *inspection) needs() map[string]*need {
	all := map[string]*need{}
	add := func(secret string, optional bool, keys ...string) {
		if secret == "" {
			return
		}
		n, known := all[secret]
		if !known {
			n = &need{optional: true}
			all[secret] = n
		}
		n.optional = n.optional && optional
		for _, key := range keys {
			list := &n.keys
			if optional {
				list = &n.may
			}
			if key != "" && !slices.Contains(*list, key) {
				*list = append(*list, key)
			}
		}
	}
	for _, o := range i.objects {
		annotations, containers, err := o.pods()
		if err != nil {
			continue // images has reported it
		}
		add(annotations["dapr.io/api-token-secret"], false, "token")
		add(annotations["dapr.io/app-token-secret"], false, "token")
		for _, c := range containers {
			for _, v := range c.Env {
				add(v.ValueFrom.SecretKeyRef.Name, v.ValueFrom.SecretKeyRef.Optional, v.ValueFrom.SecretKeyRef.Key)
			}
			for _, from := range c.EnvFrom {
				add(from.SecretRef.Name, from.SecretRef.Optional)
			}
		}
		if o.group() == "dapr.io" && o.Kind == "Component" {
			var spec struct {
				Metadata []struct {
					SecretKeyRef keyRef `json:"secretKeyRef"`
				} `json:"metadata"`
			}
			if json.Unmarshal(o.Spec, &spec) == nil {
				for _, item := range spec.Metadata {
					add(item.SecretKeyRef.Name, false, item.SecretKeyRef.Key)
				}
			}
		}
	}
	if n, ok := all[databaseSecret]; ok {
		add(databaseSecret, n.optional, "DATABASE_URL")
	}
	return all
}

const (
	databaseSecret = "duebell-database"
	apiToken       = "dapr-api-token"
	appToken       = "dapr-app-token"
	callbackSecret = "duebell-callback"
	verifySecret   = "duebell-verify"
	linksSecret    = "duebell-links"
	channelsSecret = "duebell-channels"
	reportsSecret  = "duebell-reports"
)

// makeSecret has the commands that create the secrets, as in docs/deploy.md.
var makeSecret = map[string]string{
	databaseSecret:  `--from-literal=DATABASE_URL="$DATABASE_URL"`,
	apiToken:        `--from-literal=token="$(openssl rand -hex 32)"`,
	appToken:        `--from-literal=token="$(openssl rand -hex 32)"`,
	callbackSecret:  `--from-literal=APP_API_TOKEN="$(kubectl -n duebell get secret dapr-app-token -o jsonpath='{.data.token}' | base64 -d)"`,
	verifySecret:    `--from-literal=VERIFY_KEY="$(openssl rand -hex 32)"`,
	linksSecret:     `--from-literal=LINK_KEY="$(openssl rand -hex 32)"`,
	"duebell-kafka": `--from-literal=username=duebell --from-literal=password="$KAFKA_PASSWORD" --from-literal=ca="$KAFKA_CA"`,
	"duebell-redis": `--from-literal=password="$REDIS_PASSWORD"`,
}

// readSecrets reads the secrets that the overlay needs.
func (i *inspection) readSecrets(ctx context.Context) {
	for name := range i.needs() {
		values, err := i.Kubectl.secret(ctx, name)
		if planned, ok := i.Planned[name]; ok && errors.Is(err, errAbsent) {
			values, err = planned, nil
		}
		if err != nil {
			i.secretErr[name] = err
			continue
		}
		i.secrets[name] = values
	}
}

// secret reads a Secret of Duebell's namespace.
func (k Kubectl) secret(ctx context.Context, name string) (Secrets, error) {
	var s struct {
		Data map[string]string `json:"data"`
	}
	if err := k.get(ctx, "/api/v1/namespaces/"+namespace+"/secrets/"+name, &s); err != nil {
		return nil, err
	}
	values := Secrets{}
	for key, encoded := range s.Data {
		value, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, fmt.Errorf("its key %s can't be read", key)
		}
		values[key] = config.Secret(value)
	}
	return values, nil
}

// checkSecrets checks whether the secrets exist and can be right. It never shows a value.
func (i *inspection) checkSecrets(context.Context) (found []Finding) {
	needs := i.needs()
	create := func(name string) string {
		return "kubectl -n duebell create secret generic " + name + " " + makeSecret[name]
	}
	for _, name := range sorted(needs) {
		n := needs[name]
		values, there := i.secrets[name]
		switch err := i.secretErr[name]; {
		case there:
		case errors.Is(err, errAbsent) && n.optional:
			continue
		case errors.Is(err, errAbsent):
			found = append(found, bad(create(name), "there is no secret %s", name))
			continue
		default:
			found = append(found, unseen("the secret "+name, err))
			continue
		}
		again := "kubectl -n duebell delete secret " + name + " && " + create(name)
		if makeSecret[name] == "" {
			again = "kubectl -n duebell edit secret " + name
		}
		for _, key := range n.keys {
			if values[key] == "" {
				found = append(found, bad(again, "the secret %s has no key %s, or nothing in it", name, key))
			}
		}
		for _, key := range slices.Concat(n.keys, n.may) {
			switch value := values[key].Reveal(); {
			case key != "ca" && strings.TrimSpace(value) != value:
				found = append(found, bad(again, "the secret %s has a space or the end of a line around its key %s", name, key))
			case strings.HasPrefix(value, "at-least-32-random-characters"):
				found = append(found, bad(again, "the secret %s is the one of manifests/secrets.yaml, which everybody knows", name))
			}
		}
	}
	if len(found) > 0 || len(needs) == 0 {
		return found
	}
	found = append(found, good("%d are there, with the keys that are asked for", len(i.secrets)))
	if url := i.secrets[databaseSecret]["DATABASE_URL"]; i.DatabaseURL != "" && url != "" && url != i.DatabaseURL {
		found = append(found, hint("", "the secret %s names another database than DATABASE_URL does here, or by another way: functions use the secret's", databaseSecret))
	}
	return slices.Concat(found, i.tokens(), i.addresses())
}

// addresses checks whether owners of addresses can be asked, and whether their answers and
// providers' reports can be stored. Without a channel there is nothing to check.
func (i *inspection) addresses() (found []Finding) {
	channels := i.secrets[channelsSecret]
	if len(channels) == 0 {
		return nil
	}
	edit := "kubectl -n duebell edit secret " + channelsSecret
	key := "kubectl -n duebell patch secret " + channelsSecret + ` -p "{\"stringData\":{\"SUPPRESSION_KEY\":\"$(openssl rand -hex 32)\"}}"`
	needs := i.needs()
	switch {
	case channels["SUPPRESSION_KEY"] == "" && channels["UNSUBSCRIBE_KEY"] != "":
		found = append(found, bad(key, "the secret %s has UNSUBSCRIBE_KEY and no SUPPRESSION_KEY: functions do not start, as they could not remember who has unsubscribed", channelsSecret))
	case channels["SUPPRESSION_KEY"] == "":
		found = append(found, hint(key, "the secret %s has no SUPPRESSION_KEY: who says STOP, and addresses that bounce, are not remembered, and owners of addresses can't be asked", channelsSecret))
	}
	if _, asked := needs[verifySecret]; asked && i.secrets[verifySecret]["VERIFY_KEY"] == "" {
		found = append(found, hint("kubectl -n duebell create secret generic "+verifySecret+" "+makeSecret[verifySecret],
			"there is no VERIFY_KEY in a secret %s: no address that a user adds can be verified, and nothing is sent to it", verifySecret))
	}
	if _, linked := needs[linksSecret]; linked && i.secrets[linksSecret]["LINK_KEY"] == "" {
		found = append(found, hint("kubectl -n duebell create secret generic "+linksSecret+" "+makeSecret[linksSecret],
			"there is no LINK_KEY in a secret %s: messages have no links Done and Snooze", linksSecret))
	}
	if channels["PUBLIC_URL"] == "" {
		found = append(found, hint(edit, "the secret %s has no PUBLIC_URL: messages hold no links, so no address can be verified by one, and Twilio can't report", channelsSecret))
	}
	var deaf []string
	for key, by := range map[string]string{"SENDGRID_API_KEY": "SENDGRID_EVENTS_KEY", "SES_REGION": "SES_EVENTS_TOPICS"} {
		if channels[key] != "" && i.secrets[reportsSecret][by] == "" {
			deaf = append(deaf, by)
		}
	}
	if _, heard := needs[reportsSecret]; heard && len(deaf) > 0 {
		slices.Sort(deaf)
		found = append(found, hint("see Reports in docs/channels.md", "the secret %s has no %s: bounces and complaints are not heard of", reportsSecret, strings.Join(deaf, ", ")))
	}
	variables := []string{"SENDGRID_EVENTS_KEY=" + i.secrets[reportsSecret]["SENDGRID_EVENTS_KEY"].Reveal(), "SES_EVENTS_TOPICS=" + i.secrets[reportsSecret]["SES_EVENTS_TOPICS"].Reveal()}
	if _, err := config.Parse[reports.Config](variables); err != nil {
		found = append(found, bad("kubectl -n duebell edit secret "+reportsSecret, "the secret %s: %v", reportsSecret, err))
	}
	if channels["WEBPUSH_KEY"] != "" {
		var variables []string
		for _, name := range []string{"WEBPUSH_KEY", "WEBPUSH_PUBLIC_KEY", "WEBPUSH_SUBJECT"} {
			variables = append(variables, name+"="+channels[name].Reveal())
		}
		if _, err := config.Parse[webpush.Config](variables); err != nil {
			found = append(found, bad(edit, "the secret %s: %v", channelsSecret, err))
		}
	}
	if len(found) == 0 {
		return []Finding{good("addresses can be verified and suppressed, and providers are heard")}
	}
	return found
}

// tokens checks whether daprd sends the token that the functions accept.
func (i *inspection) tokens() []Finding {
	shown, accepted := i.secrets[appToken]["token"], i.secrets[callbackSecret]["APP_API_TOKEN"]
	if shown == "" || accepted == "" {
		return nil // no pod is given them
	}
	cfg, err := config.Parse[auth.AppToken]([]string{"APP_API_TOKEN=" + accepted.Reveal()})
	next := "kubectl -n duebell delete secret " + callbackSecret + " && kubectl -n duebell create secret generic " + callbackSecret + " " + makeSecret[callbackSecret]
	switch {
	case err != nil:
		return []Finding{bad(next, "the secret %s: %v", callbackSecret, err)}
	case !slices.Contains(cfg.Tokens, shown):
		return []Finding{bad(next, "the app token of %s is not one that %s accepts: every callback would be refused", appToken, callbackSecret)}
	}
	return []Finding{good("daprd shows the app token that functions accept")}
}

// databaseURL returns the database's URL, and whether it is the functions'.
func (i *inspection) databaseURL() (url config.Secret, theirs bool) {
	if i.DatabaseURL != "" {
		return i.DatabaseURL, false
	}
	url = i.secrets[databaseSecret]["DATABASE_URL"]
	return url, url != ""
}

// badURL reports what is wrong with a database's URL, without quoting it.
func badURL(url config.Secret) *Finding {
	if err := store.CheckURL(url); err != nil {
		f := bad("export DATABASE_URL=postgres://duebell:PASSWORD@HOST:5432/duebell", "%v", err)
		return &f
	}
	return nil
}
