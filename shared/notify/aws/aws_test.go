package aws_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/aws"
)

// Without configured keys the SDK's default providers are used, here a file. If there are no
// credentials at all, the error says that nothing was sent.
func TestUsualWays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", file)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	var authorization string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { authorization = r.Header.Get("Authorization") }))
	defer s.Close()
	send := func() error {
		opened, err := aws.Open(aws.Config{}, "eu-central-1", s.URL)
		if err != nil {
			t.Fatal(err)
		}
		call, text := notify.NewCall(notify.NewClient()), "text"
		_, err = sns.NewFromConfig(opened).Publish(t.Context(), &sns.PublishInput{PhoneNumber: &text, Message: &text}, func(o *sns.Options) { o.HTTPClient = call })
		return aws.Config{}.Outcome(call, err, func(smithy.APIError) bool { return false })
	}
	if kind, _ := notify.KindOf(send()); kind != notify.Retry || authorization != "" {
		t.Errorf("without credentials: %s, and it sent %q", kind, authorization)
	}
	if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = AKIAI44QH8DHBEXAMPLE\naws_secret_access_key = secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := send(); err != nil || !strings.Contains(authorization, "Credential=AKIAI44QH8DHBEXAMPLE/") || !strings.Contains(authorization, "/eu-central-1/sns/") {
		t.Errorf("with a file: %v, and it sent %q", errors.Unwrap(err), authorization)
	}
}

// AWS answers a wrong signature with all that was signed, including the role's session token. The
// error does not contain it.
func TestSignaturesAreNotTold(t *testing.T) {
	for _, code := range []string{"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "UnrecognizedClientException"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `<ErrorResponse><Error><Code>%s</Code><Message>The canonical string should have been x-amz-security-token:%s</Message></Error></ErrorResponse>`, code, r.Header.Get("X-Amz-Security-Token"))
		}))
		t.Setenv("AWS_ACCESS_KEY_ID", "AKIAI44QH8DHBEXAMPLE")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
		t.Setenv("AWS_SESSION_TOKEN", "of-a-role")
		opened, err := aws.Open(aws.Config{}, "eu-central-1", s.URL)
		if err != nil {
			t.Fatal(err)
		}
		call, text := notify.NewCall(notify.NewClient()), "text"
		_, err = sns.NewFromConfig(opened).Publish(t.Context(), &sns.PublishInput{PhoneNumber: &text, Message: &text}, func(o *sns.Options) { o.HTTPClient = call })
		outcome := aws.Config{}.Outcome(call, err, func(smithy.APIError) bool { return false })
		if told := fmt.Sprint(outcome); strings.Contains(told, "of-a-role") || !strings.Contains(told, code) {
			t.Errorf("%s: %s", code, told)
		}
		s.Close()
	}
}
