package sandbox

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// signatureLifetime is how far a signature's time may be from now:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
const signatureLifetime = 5 * time.Minute

// signatureProblem checks the signature of a request to a service of Amazon's
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html)
// and returns the error's code and message, or "". The codes are those of the
// newer services; SNS has other names for two of them.
func signatureProblem(r *http.Request, body []byte, service string) (code, message string) {
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		return "MissingAuthenticationTokenException", "Missing Authentication Token"
	}
	parts := map[string]string{}
	algorithm, rest, _ := strings.Cut(authorization, " ")
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	scope := strings.Split(parts["Credential"], "/") // id, day, region, service, aws4_request
	signed := strings.Split(parts["SignedHeaders"], ";")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	switch {
	case algorithm != "AWS4-HMAC-SHA256" || len(scope) != 5 || parts["Signature"] == "" || err != nil || !slices.IsSorted(signed) ||
		!slices.Contains(signed, "host") || !slices.Contains(signed, "x-amz-date"):
		return "IncompleteSignatureException", "The request signature does not conform to AWS standards."
	case scope[0] != awsID:
		return "UnrecognizedClientException", "The security token included in the request is invalid."
	case scope[1] != at.Format("20060102") || scope[3] != service || scope[4] != "aws4_request":
		return "InvalidSignatureException", "Credential should be scoped to correct service: '" + service + "'."
	case time.Since(at).Abs() > signatureLifetime:
		return "InvalidSignatureException", "Signature expired."
	}
	key := []byte("AWS4" + awsSecret)
	for _, part := range scope[1:] {
		key = sum(key, part)
	}
	request := sha256.Sum256([]byte(canonical(r, body, signed)))
	want := sum(key, strings.Join([]string{algorithm, r.Header.Get("X-Amz-Date"), strings.Join(scope[1:], "/"), hex.EncodeToString(request[:])}, "\n"))
	if !isSecret(parts["Signature"], hex.EncodeToString(want)) {
		return "InvalidSignatureException", "The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	}
	return "", ""
}

func sum(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// canonical is the request as it is signed.
func canonical(r *http.Request, body []byte, signed []string) string {
	path, query, _ := strings.Cut(r.RequestURI, "?") // r.URL is without what came before
	pairs := strings.Split(query, "&")
	slices.Sort(pairs)
	lines := []string{r.Method, (&url.URL{Path: cmp.Or(path, "/")}).EscapedPath(), strings.Join(pairs, "&")}
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.Itoa(len(body))
		}
		lines = append(lines, name+":"+strings.Join(strings.Fields(value), " "))
	}
	hash := sha256.Sum256(body)
	return strings.Join(append(lines, "", strings.Join(signed, ";"), hex.EncodeToString(hash[:])), "\n")
}
