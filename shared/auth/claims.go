package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// issuer is an issuer with its keys.
type issuer struct {
	IssuerSettings
	keys *keySet
}

// parse reads a token (a JSON Web Token in its compact form, RFC 7519). Nothing in it is
// checked yet.
func parse(token string) (*jose.JSONWebSignature, error) {
	parts := strings.Split(token, ".")
	malformed := refuse("no signed token", "a JSON Web Token of three parts, header.payload.signature",
		"%d parts, %d characters", len(parts), len(token))
	var header map[string]jsontext.Value
	first, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil || len(parts) != 3 || json.Unmarshal(first, &header) != nil {
		return nil, malformed
	}
	if algorithm, _ := text(header["alg"]); !slices.Contains(algorithms, jose.SignatureAlgorithm(algorithm)) {
		return nil, refuse("algorithm", fmt.Sprint("one of ", algorithms), "%s", shown(algorithm))
	}
	// A token may list extensions that a reader has to know (crit). None is known here, and
	// an empty list is not allowed (RFC 7515, section 4.1.11).
	if critical, ok := header["crit"]; ok {
		return nil, refuse("critical header", "no crit", "%s", shown(critical))
	}
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, malformed // what the library says may quote the token
	}
	return signed, nil
}

// issuerOf returns the issuer that a token names.
func (v *Verifier) issuerOf(token *jose.JSONWebSignature) (*issuer, error) {
	var c struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(token.UnsafePayloadWithoutVerification(), &c, anyText); err != nil {
		return nil, badClaims(err)
	}
	var known []string
	for _, issuer := range v.issuers {
		if issuer.URL == c.Issuer {
			return issuer, nil
		}
		known = append(known, issuer.URL)
	}
	return nil, refuse("issuer", shown(known), "%s", shown(c.Issuer))
}

// anyText lets claims hold half of a character, as a name does that was cut in the middle of
// an emoji. Those that count are read by text, which does not understand it.
var anyText = jsontext.AllowInvalidUTF8(true)

// badClaims says which claim can't be read.
func badClaims(err error) error {
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		return refuse("claims", "claims of the form that the standards say", "something else in %s", shown(string(e.JSONPointer)))
	}
	return refuse("claims", "a JSON object of claims, each once", "something else")
}

// claims are read by their exact names. A claim that the sign-in does not depend on may have any
// form; if it can't be read, it counts as missing.
type claims struct {
	Audience      stringList     `json:"aud"`
	Expiry        *float64       `json:"exp"`
	NotBefore     *float64       `json:"nbf"`
	IssuedAt      jsontext.Value `json:"iat"`
	Email         jsontext.Value `json:"email"`
	EmailVerified jsontext.Value `json:"email_verified"`
}

// user returns the user of a token whose signature is good, from its payload.
func (i *issuer) user(payload []byte, now time.Time) (User, error) {
	var c claims
	if err := json.Unmarshal(payload, &c, anyText); err != nil {
		return User{}, badClaims(err)
	}
	var all map[string]jsontext.Value
	if err := json.Unmarshal(payload, &all, anyText); err != nil {
		return User{}, badClaims(err)
	}
	switch {
	case !slices.ContainsFunc(i.Audience, func(good string) bool { return slices.Contains(c.Audience, good) }):
		return User{}, refuse("audience", shown([]string(i.Audience)), "%s from %s", shown([]string(c.Audience)), i.URL)
	case c.Expiry == nil:
		return User{}, refuse("expiry", "the claim exp", "none from %s", i.URL)
	case !now.Before(instant(*c.Expiry).Add(clockSkew)):
		return User{}, refuse("expiry", "after "+stamp(now), "exp %s", stamp(instant(*c.Expiry)))
	case c.NotBefore != nil && instant(*c.NotBefore).After(now.Add(clockSkew)):
		return User{}, refuse("not valid yet", "not after "+stamp(now), "nbf %s", stamp(instant(*c.NotBefore)))
	}
	user := User{Expiry: instant(*c.Expiry).Add(clockSkew)}
	user.Email, _ = text(c.Email)
	user.EmailClaim = c.Email != nil && string(c.Email) != "null"
	user.EmailVerified = user.Email != "" && (string(c.EmailVerified) == `true` || string(c.EmailVerified) == `"true"`)
	var issued float64
	if json.Unmarshal(c.IssuedAt, &issued) == nil {
		user.IssuedAt = instant(issued)
	} else if c.NotBefore != nil {
		user.IssuedAt = instant(*c.NotBefore)
	}
	// An issuer's clock may be ahead by clockSkew. A time that is further ahead counts as that
	// limit, or no later token would ever be newer.
	if limit := now.Add(clockSkew); user.IssuedAt.After(limit) {
		user.IssuedAt = limit
	}
	id, ok := text(all[i.UserClaim])
	switch {
	case !ok || id == "" || !isID(i.Prefix+id):
		return User{}, refuse("user", fmt.Sprintf("1 to %d characters, none of them a control character, in the claim %s, with the prefix", maxIDLength, i.UserClaim),
			"%s from %s", shown(all[i.UserClaim]), i.URL)
	case i.UserClaim == "email" && !user.EmailVerified:
		return User{}, refuse("user", "an address with email_verified true, as the e-mail is the user's id", "email_verified %s from %s", shown(c.EmailVerified), i.URL)
	}
	user.ID = i.Prefix + id
	user.Caller = user.ID
	user.Scopes = i.scopes(all)
	return user, nil
}

// scopes returns which of Duebell's scopes a token grants.
func (i *issuer) scopes(all map[string]jsontext.Value) (granted []string) {
	var scopes []string
	for _, claim := range i.ScopeClaims {
		scopes = append(scopes, scopesIn(all[claim])...)
	}
	for scope, name := range map[string]string{Admin: i.AdminScope, Act: i.ActScope} {
		if slices.Contains(i.Grants, scope) && slices.Contains(scopes, name) {
			granted = append(granted, scope)
		}
	}
	slices.Sort(granted)
	return granted
}

// scopesIn returns the scopes in a claim. In a string, only spaces separate
// them (RFC 6749, section 3.3). Each entry of a list is one scope, since the name of a
// group may have spaces.
func scopesIn(claim jsontext.Value) (scopes []string) {
	if one, ok := text(claim); ok {
		return strings.Split(one, " ")
	}
	var list []jsontext.Value
	if json.Unmarshal(claim, &list, anyText) != nil {
		return nil
	}
	for _, element := range list {
		if one, ok := text(element); ok {
			scopes = append(scopes, one)
		}
	}
	return scopes
}

// checkPrefix refuses a user of the first issuer whose id begins with another issuer's prefix.
func (v *Verifier) checkPrefix(of *issuer, user User) error {
	if of.Prefix != "" {
		return nil // no prefix is the beginning of another
	}
	for _, other := range v.issuers {
		if other.Prefix != "" && strings.HasPrefix(user.ID, other.Prefix) {
			return refuse("user", "no id that begins like those of "+other.URL, "%s from %s", shown(user.ID), of.URL)
		}
	}
	return nil
}

// text returns the string that a claim is.
func text(claim jsontext.Value) (s string, ok bool) {
	if claim.Kind() != '"' {
		return "", false
	}
	return s, json.Unmarshal(claim, &s) == nil
}

// instant is a NumericDate (RFC 7519, section 2), within what a time can hold.
func instant(seconds float64) time.Time {
	const limit = 1 << 37 // beyond the year 6000
	whole, fraction := math.Modf(min(max(seconds, -limit), limit))
	return time.Unix(int64(whole), int64(fraction*1e9))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// stringList is a claim that is one string or an array of them.
type stringList []string

func (l *stringList) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	if decoder.PeekKind() == '[' {
		return json.UnmarshalDecode(decoder, (*[]string)(l))
	}
	var one string
	if err := json.UnmarshalDecode(decoder, &one); err != nil {
		return err
	}
	*l = stringList{one}
	return nil
}
