package sandbox

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// webhookTolerance is how far a webhook's timestamp may be from now, as Standard
// Webhooks' own libraries have it.
const webhookTolerance = 5 * time.Minute

func webhookComplain(w http.ResponseWriter, status int, message string) {
	http.Error(w, message, status)
}

// serveWebhook is a receiver of webhooks. It takes every body, but holds the headers
// against https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
// The secret is its user's, so that the signature is not checked.
func (s *Sandbox) serveWebhook(w http.ResponseWriter, r *http.Request, body []byte, f Fault) {
	id, at := r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		webhookComplain(w, http.StatusMethodNotAllowed, "webhooks are POSTs")
		return
	case id == "" || strings.Contains(id, "."):
		webhookComplain(w, http.StatusBadRequest, "webhook-id must be there, without a full stop")
		return
	case err != nil || time.Since(time.Unix(seconds, 0)).Abs() > webhookTolerance:
		webhookComplain(w, http.StatusBadRequest, "webhook-timestamp must be the seconds since 1970, now")
		return
	}
	for signature := range strings.FieldsSeq(r.Header.Get("Webhook-Signature")) {
		if version, value, _ := strings.Cut(signature, ","); version == "" || value == "" {
			webhookComplain(w, http.StatusBadRequest, "webhook-signature must be like v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=")
			return
		}
	}
	s.accept(r, f, Message{Provider: Webhook, To: "http://" + r.Host + r.RequestURI, Body: string(body), DeliveryID: id})
	w.WriteHeader(http.StatusNoContent)
}

// hang keeps its caller waiting until that hangs up.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, http.MaxBytesReader(nil, r.Body, 1<<20)) // or the server does not see it go
	<-r.Context().Done()
}
