// Package notifytest tests channels that use HTTP. Each channel's test runs it. It checks that
// errors have the right kind, that a channel sends once, that its errors have no secrets, and that
// it handles any text of a user.
package notifytest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/notify"
)

// Channel is the channel under test.
type Channel interface {
	Send(ctx context.Context, m notify.Message) error
}

// Provider is a channel and its provider's API.
type Provider struct {
	// Open returns the channel, with the provider's API at url.
	Open func(t *testing.T, url string) Channel
	// To is a recipient, in the form of notify.Message.
	To string
	// Accept answers a request as a provider that takes the message.
	Accept func(w http.ResponseWriter)
	// Refusal returns the body of an error answer that explains itself with text. Nil: the
	// channel's errors show nothing of the answer.
	Refusal func(text string) string
	// Kinds are the statuses that this provider uses in another meaning.
	Kinds map[int]notify.Kind
	// Secrets are those that Open passed to the channel.
	Secrets []string
	// Shown returns the text of a request that its recipient reads, decoded.
	Shown func(r *http.Request, body []byte) (string, error)
	// Cuts says that a long title may be cut in the first line, with "..." after it.
	Cuts bool
}

// Run runs all checks.
func Run(t *testing.T, p Provider) {
	// The log is shared, so the checks do not run in parallel.
	var logged syncBuffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() {
		slog.SetDefault(before)
		p.wantNoSecret(t, "the log", logged.String())
	})
	t.Run("Outcomes", p.outcomes)
	t.Run("RetryAfter", p.retryAfter)
	t.Run("Redirects", p.redirects)
	t.Run("NeverSent", p.neverSent)
	t.Run("NoAnswer", p.noAnswer)
	t.Run("OddAnswers", p.oddAnswers)
	t.Run("HostileTexts", p.hostileTexts)
	t.Run("Concurrency", p.concurrency)
}

func (p Provider) message() notify.Message {
	due := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	return notify.Message{
		ID: uuid.Must(uuid.NewV7()), TaskID: uuid.Must(uuid.NewV7()), UserID: "ada", To: p.To,
		Title: "Pay rent", Notes: "Bank transfer", DueDate: &due, Links: Links,
	}
}

// Links are the links in the messages under test. They are as long as real ones can be.
var Links = notify.Links{
	Done: "https://api.example.com/m/" + strings.Repeat("D", 70), Snooze: "https://api.example.com/m/" + strings.Repeat("S", 70),
	Acknowledge: "https://api.example.com/m/" + strings.Repeat("A", 70), Any: "https://api.example.com/m/" + strings.Repeat("x", 58),
}

func (p Provider) wantNoSecret(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range p.Secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s tells a secret: %s", what, text)
		}
	}
}

// want checks the kind of a send's error, and that its text has no secrets.
func (p Provider) want(t *testing.T, what string, err error, kind notify.Kind) {
	t.Helper()
	got, _ := notify.KindOf(err)
	if err == nil {
		got = ""
	}
	if got != kind {
		t.Errorf("%s: got %q (%v), want %q", what, got, err, kind)
	}
	if err != nil {
		p.wantNoSecret(t, what, err.Error())
		if p.Refusal == nil && strings.Contains(err.Error(), explanation) {
			t.Errorf("%s: shows what the answer says: %v", what, err)
		}
	}
}

const explanation = "the sky is falling"

// refuse answers with a status, an explanation, and the secrets.
func (p Provider) refuse(w http.ResponseWriter, r *http.Request, status int) {
	text := explanation + " " + strings.Join(p.Secrets, " ") + " " + r.Header.Get("Authorization")
	body := text
	if p.Refusal != nil {
		body = p.Refusal(text)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// outcomes checks that each status has the kind of notify.FromStatus.
func (p Provider) outcomes(t *testing.T) {
	statuses := map[int]notify.Kind{}
	for status := 300; status < 600; status++ {
		switch status {
		case 304: // 304 has no body
			continue
		case 408, 502, 504:
			statuses[status] = notify.Unknown
		case 401, 403, 404, 405, 407, 425, 429:
			statuses[status] = notify.Retry
		default:
			statuses[status] = map[int]notify.Kind{3: notify.Retry, 4: notify.Permanent, 5: notify.Retry}[status/100]
			if status >= 520 {
				statuses[status] = notify.Unknown
			}
		}
	}
	for status, kind := range p.Kinds {
		statuses[status] = kind
	}
	var status, hits atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		p.refuse(w, r, int(status.Load()))
	})
	channel := p.Open(t, s.URL)
	for code, kind := range statuses {
		status.Store(int32(code))
		hits.Store(0)
		err := channel.Send(t.Context(), p.message())
		p.want(t, fmt.Sprint(code), err, kind)
		if hits.Load() != 1 {
			t.Errorf("%d: %d requests", code, hits.Load())
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprint(code)) {
			t.Errorf("%d: the status is lost: %v", code, err)
		}
		if err != nil && p.Refusal != nil && code >= 400 && !strings.Contains(err.Error(), explanation) {
			t.Errorf("%d: the provider's explanation is lost: %v", code, err)
		}
	}
}

func (p Provider) retryAfter(t *testing.T) {
	const wait = 17 * time.Minute
	for _, status := range []int{429, 503} {
		for what, header := range map[string]struct {
			value func() string
			wait  time.Duration
		}{
			"seconds":  {func() string { return fmt.Sprint(int(wait.Seconds())) }, wait},
			"date":     {func() string { return time.Now().Add(wait).UTC().Format(http.TimeFormat) }, wait},
			"68 years": {func() string { return "2147483648" }, time.Hour}, // at most an hour
			"for ever": {func() string { return strings.Repeat("9", 30) }, time.Hour},
		} {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", header.value())
				p.refuse(w, r, status)
			})
			err := p.Open(t, s.URL).Send(t.Context(), p.message())
			p.want(t, what, err, notify.Retry)
			if _, after := notify.KindOf(err); after > header.wait || after < header.wait-time.Minute {
				t.Errorf("%d with %s: waits %v, want %v", status, what, after, header.wait)
			}
		}
	}
}

// redirects checks that redirects are not followed: they would take keys and messages to another
// host.
func (p Provider) redirects(t *testing.T) {
	var elsewhere atomic.Int32
	other := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		p.Accept(w)
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, target := range []string{other.URL + "/", "/elsewhere", "//" + other.Listener.Addr().String()} {
			hits := 0
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				hits++
				w.Header().Set("Location", target)
				p.refuse(w, r, status)
			})
			p.want(t, fmt.Sprint(status), p.Open(t, s.URL).Send(t.Context(), p.message()), notify.Retry)
			if hits != 1 || elsewhere.Load() > 0 {
				t.Errorf("%d to %s: %d requests here, %d there", status, target, hits, elsewhere.Load())
			}
		}
	}
}

// neverSent checks that a request without a connection is not Unknown.
func (p Provider) neverSent(t *testing.T) {
	listener := listen(t)
	listener.Close()
	p.want(t, "connection refused", p.Open(t, "http://"+listener.Addr().String()).Send(t.Context(), p.message()), notify.Retry)

	var hits atomic.Int32
	count := func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		p.Accept(w)
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(count))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	p.want(t, "a certificate that does not hold", p.Open(t, secure.URL).Send(t.Context(), p.message()), notify.Retry)

	over, cancel := context.WithCancel(t.Context())
	cancel()
	p.want(t, "cancelled beforehand", p.Open(t, serve(t, count).URL).Send(over, p.message()), notify.Retry)
	if hits.Load() > 0 {
		t.Errorf("%d requests", hits.Load())
	}
}

// noAnswer checks that a request without an answer is Unknown.
func (p Provider) noAnswer(t *testing.T) {
	cutAtOnce := listen(t)
	go func() {
		for {
			c, err := cutAtOnce.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	p.want(t, "cut before the request was read", p.Open(t, "http://"+cutAtOnce.Addr().String()).Send(t.Context(), p.message()), notify.Unknown)

	cut := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	})
	channel := p.Open(t, cut.URL)
	for range 2 {
		p.want(t, "cut after the request was read", channel.Send(t.Context(), p.message()), notify.Unknown)
	}

	arrived, over := make(chan struct{}), make(chan struct{})
	defer close(over)
	hung := p.Open(t, serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-over
	}).URL)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	p.want(t, "cancelled in the middle", hung.Send(ctx, p.message()), notify.Unknown)
	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second) // time enough for a busy machine
	defer cancel()
	go func() { <-arrived }()
	p.want(t, "time-out", hung.Send(ctx, p.message()), notify.Unknown)
}

// oddAnswers checks that the status counts, whatever the rest of the answer is.
func (p Provider) oddAnswers(t *testing.T) {
	for what, answer := range map[string]struct {
		raw  string
		kind notify.Kind
	}{
		"not HTTP":            {"\x00\x01\x02 good morning\r\n\r\n", notify.Unknown},
		"half a status line":  {"HTTP/1.1 2", notify.Unknown},
		"nothing":             {"", notify.Unknown},
		"refused, garbage":    {"HTTP/1.1 400 Bad Request\r\nContent-Length: 6\r\n\r\n\xff{\"<>\x00", notify.Permanent},
		"refused, cut":        {"HTTP/1.1 500 Oops\r\nContent-Length: 1000\r\n\r\n{\"message\":", notify.Retry},
		"refused, no length":  {"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\r\n[[[[", notify.Permanent},
		"refused, wrong type": {"HTTP/1.1 503 Busy\r\nContent-Type: text/html\r\n\r\n<html><h1>503</h1>", notify.Retry},
		"refused, odd chunks": {"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", notify.Retry},
	} {
		p.want(t, what, p.Open(t, answerRaw(t, answer.raw)).Send(t.Context(), p.message()), answer.kind)
	}

	accepted := httptest.NewRecorder()
	p.Accept(accepted)
	for what, rest := range map[string]string{
		"taken, and cut": fmt.Sprintf("Content-Length: %d\r\n\r\n", accepted.Body.Len()+1000) + accepted.Body.String(),
		"taken, garbage": "Content-Length: 6\r\n\r\n\xff{\"<>\x00",
		"taken, empty":   "Content-Length: 0\r\n\r\n",
	} {
		raw := fmt.Sprintf("HTTP/1.1 %d Taken\r\nContent-Type: application/json\r\n", accepted.Code) + rest
		p.want(t, what, p.Open(t, answerRaw(t, raw)).Send(t.Context(), p.message()), "")
	}

	const huge, most = 64 << 20, 16 << 20 // more than the sockets' buffers
	for status, kind := range map[int]notify.Kind{accepted.Code: "", 400: notify.Permanent, 500: notify.Retry} {
		var written atomic.Int64
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			chunk := bytes.Repeat([]byte("x"), 1<<20)
			for written.Load() < huge {
				n, err := w.Write(chunk)
				if written.Add(int64(n)); err != nil {
					return
				}
			}
		})
		err := p.Open(t, s.URL).Send(t.Context(), p.message())
		p.want(t, fmt.Sprintf("a huge answer, %d", status), err, kind)
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%d: an error of %d bytes", status, len(err.Error()))
		}
		s.Close() // waits for the handler
		if written.Load() > most {
			t.Errorf("%d: %d bytes of the answer were read", status, written.Load())
		}
	}
}

// Texts are users' texts that could do harm.
var Texts = []string{
	"Pay rent",
	"<script>alert(1)</script> & <b>bold</b> </h2></body>",
	"Rent\r\nBcc: eve@example.com\r\n\r\n<h1>hello</h1>",
	"Rent\nX-Injected: yes",
	"Rent\u2028Bcc: eve@example.com\u2029\u0085end",
	"nul\x00byte \x01\x1b[31m\x7f control",
	"four bytes: 😀 𝒳 🇩🇪 👨‍👩‍👧‍👦",
	"\u202eevil\u202c שלום עולם مرحبا",
	"{{.Title}} {{template \"mail\"}} ${jndi:ldap://x} %s %n {title} {due} <%= 1 %> #{1}",
	`quotes " ' ` + "`" + ` \ \" \u0000 \n / %00 %0d%0a &amp; &#0; ]]> <!-- -->`,
	"a=b&To=%2B15550000000&Body=x;c=d",
	"=?utf-8?b?QmNjOiBldmU=?=",
	"combining e\u0301 Z\u0351\u036b\u0343\u036a zero\u200bwidth \ufeff bom",
	"one " + strings.Repeat("word ", 98) + "end",
	strings.Repeat("😀", 500),
	strings.Repeat("a", 500),
	strings.Repeat("<", 500),
}

func (p Provider) hostileTexts(t *testing.T) {
	var mu sync.Mutex
	var requests int
	var request *http.Request
	var body []byte
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests++
		request = r
		body, _ = io.ReadAll(r.Body)
		p.Accept(w)
	})
	channel := p.Open(t, s.URL)
	for _, text := range Texts {
		for _, language := range []string{"", "de", "ar", "not a language"} {
			m := p.message()
			m.Title, m.Notes, m.Language = text, strings.Repeat(text+"\n", 3), language
			requests = 0
			p.want(t, text, channel.Send(t.Context(), m), "")
			mu.Lock()
			if requests != 1 {
				t.Errorf("%q: %d requests", text, requests)
			} else {
				p.checkRequest(t, m, request, body)
			}
			mu.Unlock()
		}
	}
}

// checkRequest checks that a request is well-formed and shows the text as it was written.
func (p Provider) checkRequest(t *testing.T, m notify.Message, r *http.Request, body []byte) {
	t.Helper()
	for name, values := range r.Header {
		if strings.EqualFold(name, "Bcc") || strings.EqualFold(name, "X-Injected") || strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
			t.Errorf("%q: header %s: %q", m.Title, name, values)
		}
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !utf8.Valid(body) && kind != "application/octet-stream" {
		t.Errorf("%q: the body is not UTF-8", m.Title)
	}
	switch kind {
	case "application/octet-stream": // encrypted: Shown reads it
	case "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(body))
		for name := range values {
			if len(values[name]) != 1 && name == "To" {
				t.Errorf("%q: %d fields %s", m.Title, len(values[name]), name)
			}
		}
		if err != nil {
			t.Errorf("%q: %v", m.Title, err)
		}
	case "application/json", "application/x-amz-json-1.0", "application/x-amz-json-1.1":
		if !json.Valid(body) {
			t.Errorf("%q: not JSON: %s", m.Title, body)
		}
	default:
		t.Errorf("%q: a body of type %q", m.Title, kind)
	}
	shown, err := p.Shown(r, body)
	if err != nil {
		t.Errorf("%q: %v in %s", m.Title, err, body)
	}
	if !strings.Contains(shown, m.Headline()) && (!p.Cuts || !isBeginning(shown, m.Headline())) {
		t.Errorf("%q is not in what its recipient reads: %q", m.Headline(), shown)
	}
}

func isBeginning(shown, title string) bool {
	line, _, _ := strings.Cut(shown, "\n")
	begin, cut := strings.CutSuffix(line, "...")
	return cut && len(begin) >= 16 && strings.HasPrefix(title, begin)
}

// concurrency checks that several goroutines can use one channel.
func (p Provider) concurrency(t *testing.T) {
	const sends = 50
	var mu sync.Mutex
	seen := map[string]bool{}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		shown, err := p.Shown(r, body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for i := range sends {
			if strings.Contains(shown, fmt.Sprintf("Title-%d.", i)) {
				seen[fmt.Sprint(i)] = true
			}
		}
		p.Accept(w)
	})
	channel := p.Open(t, s.URL)
	var group sync.WaitGroup
	for i := range sends {
		group.Go(func() {
			m := p.message()
			m.Title = fmt.Sprintf("Title-%d.", i)
			if err := channel.Send(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if len(seen) != sends {
		t.Errorf("%d of %d messages arrived", len(seen), sends)
	}
}

// serve starts a server that ends with the test. Its errors are not logged.
func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// answerRaw serves connections: it answers each request with raw, and closes the connection. It
// returns the URL.
func answerRaw(t *testing.T, raw string) string {
	t.Helper()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(c, raw)
		c.Close()
	})
	return s.URL
}

// syncBuffer is a buffer that is safe for concurrent use.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
