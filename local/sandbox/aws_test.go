package sandbox_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/duebell/duebell/local/sandbox"
)

var awsKey = aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}

// sign returns a POST that Amazon's own code has signed.
func sign(t *testing.T, url, service, contentType, body string, key aws.Credentials, at time.Time) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	hash := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), key, request, hex.EncodeToString(hash[:]), service, "eu-central-1", at); err != nil {
		t.Fatal(err)
	}
	return request
}

// answer sends a request and returns the answer, with its body.
func answer(t *testing.T, request *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestSignatures(t *testing.T) {
	s, base := serve(t)
	url := base + sandbox.SESPath + "/v2/email/outbound-emails"
	signed := func(key aws.Credentials, service string, at time.Time) *http.Request {
		return sign(t, url, service, "application/json", sesGood, key, at)
	}
	other := awsKey
	other.SecretAccessKey = "another"
	unknown := awsKey
	unknown.AccessKeyID = "AKIAI44QH8DHBEXAMPLE"
	changed := func(change func(*http.Request)) *http.Request {
		request := signed(awsKey, "ses", time.Now())
		change(request)
		return request
	}
	for name, test := range map[string]struct {
		request *http.Request
		code    string
	}{
		"none":            {changed(func(r *http.Request) { r.Header.Del("Authorization") }), "MissingAuthenticationTokenException"},
		"another scheme":  {changed(func(r *http.Request) { r.Header.Set("Authorization", "Basic abc") }), "IncompleteSignatureException"},
		"no date":         {changed(func(r *http.Request) { r.Header.Del("X-Amz-Date") }), "IncompleteSignatureException"},
		"another key":     {signed(other, "ses", time.Now()), "InvalidSignatureException"},
		"unknown id":      {signed(unknown, "ses", time.Now()), "UnrecognizedClientException"},
		"another service": {signed(awsKey, "sns", time.Now()), "InvalidSignatureException"},
		"yesterday":       {signed(awsKey, "ses", time.Now().Add(-time.Hour)), "InvalidSignatureException"},
		"another body": {changed(func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(strings.Replace(sesGood, "Hello", "Other", 1)))
		}), "InvalidSignatureException"},
		"another query": {changed(func(r *http.Request) { r.URL.RawQuery = "a=b" }), "InvalidSignatureException"},
		"another type":  {changed(func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }), "InvalidSignatureException"},
	} {
		t.Run(name, func(t *testing.T) {
			response, body := answer(t, test.request)
			if response.StatusCode != http.StatusForbidden || response.Header.Get("X-Amzn-Errortype") != test.code {
				t.Errorf("the answer is %d, %s: %s", response.StatusCode, response.Header.Get("X-Amzn-Errortype"), body)
			}
		})
	}
	if got := s.Messages(); len(got) != 0 {
		t.Errorf("it accepted %v", got)
	}
	if response, body := answer(t, signed(awsKey, "ses", time.Now())); response.StatusCode != http.StatusOK {
		t.Errorf("a good one is answered %d %s", response.StatusCode, body)
	}
}
