package auth

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// Config names the issuers whose tokens are accepted.
type Config struct {
	Issuer      string         `env:"OIDC_ISSUER,required" help:"the URL of the OpenID Connect issuer, exactly as its tokens have it"`
	Audience    []string       `env:"OIDC_AUDIENCE,required" help:"the audience of the issuer's tokens for Duebell; if there are several, with commas between"`
	UserClaim   string         `env:"OIDC_USER_CLAIM" envDefault:"sub" help:"the claim of a token that is its user's id; an e-mail address counts only if it is verified"`
	ScopeClaims []string       `env:"OIDC_SCOPE_CLAIMS" envDefault:"scope,scp,permissions" help:"the claims that have a token's scopes; add roles or groups only if every one of them may be a scope"`
	AdminScope  string         `env:"OIDC_ADMIN_SCOPE" envDefault:"admin" help:"the issuer's name for the scope of operators"`
	ActScope    string         `env:"OIDC_ACT_SCOPE" envDefault:"act" help:"the issuer's name for the scope of programs that act for users"`
	Grants      []string       `env:"OIDC_GRANTS" envDefault:"admin,act" help:"which scopes of Duebell the issuer may grant: admin, act, both with a comma between, or none"`
	Further     FurtherIssuers `env:"OIDC_FURTHER_ISSUERS" help:"more issuers, as a JSON list like [{\"issuer\":\"https://login.example.com\",\"audience\":\"duebell\",\"prefix\":\"partner:\"}]; docs/identity-providers.md has all members"`
	Limit       Limit
}

// IssuerSettings say which tokens of an issuer are accepted, and what their claims mean.
type IssuerSettings struct {
	URL      string     `json:"issuer"`
	Audience stringList `json:"audience"` // one of them is enough
	// Prefix is put before the user's id, so that equal ids of two issuers are two
	// users. Only the first issuer has none.
	Prefix      string     `json:"prefix"`
	UserClaim   string     `json:"user_claim"`
	ScopeClaims stringList `json:"scope_claims"`
	AdminScope  string     `json:"admin_scope"`
	ActScope    string     `json:"act_scope"`
	Grants      stringList `json:"grants"` // of Admin and Act
}

// issuers returns the settings of all issuers, the first one without a prefix.
func (c Config) issuers() []IssuerSettings {
	return append([]IssuerSettings{{
		URL: c.Issuer, Audience: c.Audience, UserClaim: c.UserClaim, ScopeClaims: c.ScopeClaims,
		AdminScope: c.AdminScope, ActScope: c.ActScope, Grants: c.Grants,
	}}, c.Further...)
}

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() []string {
	var problems []string
	names := settingNames{
		url: "OIDC_ISSUER", audience: "OIDC_AUDIENCE", userClaim: "OIDC_USER_CLAIM", scopeClaims: "OIDC_SCOPE_CLAIMS",
		adminScope: "OIDC_ADMIN_SCOPE", actScope: "OIDC_ACT_SCOPE", grants: "OIDC_GRANTS",
	}
	for i, issuer := range c.issuers() {
		if i > 0 {
			names = furtherNames(i - 1)
			if !prefixForm.MatchString(issuer.Prefix) {
				problems = append(problems, names.prefix+" must be 1 to 40 letters, digits, dots, dashes and underscores, and a : or | at the end")
			}
		}
		problems = append(problems, issuer.problems(names)...)
		for _, before := range c.issuers()[:i] {
			if before.URL == issuer.URL {
				problems = append(problems, names.url+" is listed before: let one entry have all its audiences")
			}
			if i > 0 && before.Prefix == issuer.Prefix {
				problems = append(problems, names.prefix+" is another issuer's: their users would be the same ones")
			}
		}
	}
	return problems
}

// prefixForm is such that no prefix is the beginning of another.
var prefixForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,40}[:|]$`)

// settingNames are the names of settings in errors, as a person finds them in the configuration.
type settingNames struct{ url, audience, prefix, userClaim, scopeClaims, adminScope, actScope, grants string }

func furtherNames(i int) settingNames {
	at := func(member string) string { return fmt.Sprintf("OIDC_FURTHER_ISSUERS [%d].%s", i, member) }
	return settingNames{at("issuer"), at("audience"), at("prefix"), at("user_claim"), at("scope_claims"), at("admin_scope"), at("act_scope"), at("grants")}
}

// problems says what is wrong with the settings. Whoever controls the issuer's keys can be any user,
// so the keys have to come over https, except from this machine or from inside the cluster.
func (s IssuerSettings) problems(names settingNames) (list []string) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !isTrusted(u) {
		list = append(list, names.url+" must be an https URL without query or fragment; "+
			"http is for this machine (localhost) and the cluster (*.svc)")
	}
	if len(s.Audience) == 0 || slices.ContainsFunc(s.Audience, isBlank) {
		list = append(list, names.audience+" must name the audience of the issuer's tokens; of several none may be empty, or have spaces around it")
	}
	if isBlank(s.UserClaim) {
		list = append(list, names.userClaim+" must be the name of a claim")
	}
	if slices.ContainsFunc(s.ScopeClaims, isBlank) {
		list = append(list, names.scopeClaims+" must be names of claims, without spaces around them")
	}
	for name, scope := range map[string]string{names.adminScope: s.AdminScope, names.actScope: s.ActScope} {
		if isBlank(scope) {
			list = append(list, name+" must be the name of a scope; to grant none, leave it out of grants")
		}
	}
	if s.AdminScope == s.ActScope {
		list = append(list, names.actScope+" must be another than that of operators")
	}
	for _, scope := range s.Grants {
		if scope != Admin && scope != Act && (scope != "none" || len(s.Grants) > 1) {
			list = append(list, names.grants+" must be of admin and act, or none")
			break
		}
	}
	slices.Sort(list)
	return list
}

// isBlank reports whether a name is empty, or has spaces around it, which no claim would
// equal.
func isBlank(name string) bool { return name == "" || strings.TrimSpace(name) != name }

func isTrusted(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	switch u.Scheme {
	case "https":
		return true
	case "http":
		return host == "localhost" || net.ParseIP(host).IsLoopback() ||
			strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".svc.cluster.local")
	default:
		return false
	}
}

// FurtherIssuers are the issuers besides the first. Claims and scopes that are left out have the
// same defaults as the first issuer's, except that a further issuer grants nothing.
type FurtherIssuers []IssuerSettings

// maxFurther bounds how many issuers there may be besides the first.
const maxFurther = 20

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *FurtherIssuers) UnmarshalText(text []byte) error {
	var all []IssuerSettings
	if err := json.Unmarshal(text, &all, json.RejectUnknownMembers(true)); err != nil {
		return err
	}
	if len(all) > maxFurther {
		return fmt.Errorf("it has more than %d", maxFurther)
	}
	*f = all
	return nil
}

// UnmarshalJSON implements json.Unmarshaler: what is left out has its default.
func (s *IssuerSettings) UnmarshalJSON(text []byte) error {
	type plain IssuerSettings
	read := plain{
		UserClaim: "sub", ScopeClaims: []string{"scope", "scp", "permissions"}, AdminScope: Admin, ActScope: Act,
	}
	err := json.Unmarshal(text, &read, json.RejectUnknownMembers(true))
	*s = IssuerSettings(read)
	return err
}
