package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v5"
	"github.com/schollz/progressbar/v3"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
)

const importUsage = `Usage: duebell import [FLAGS] FILE

FILE has tasks: one JSON object in each line (.ndjson, .jsonl), or a table with a header (.csv, .tsv); - reads
from standard input, with -format. DUEBELL_URL names the server, DUEBELL_TOKEN is the user's token.

If an import breaks off, run the same command again within 24 hours: it continues, and creates nothing twice.
A changed file is another import. So correct the tasks that failed in a file of their own, and import that.

`

// importConfig has the settings of an import.
type importConfig struct {
	URL   string        `env:"DUEBELL_URL" help:"the server, such as https://duebell.example"`
	Token config.Secret `env:"DUEBELL_TOKEN" help:"the token of the user who will own the tasks"`
}

// The size of an import's requests. They are done soon, are small enough to be kept in memory until
// then, and stay below nginx's limit of 1 MB even with one record more.
const (
	requestRecords = 10_000
	requestBytes   = 768 << 10
)

// importFile creates the tasks of a file.
func importFile(ctx context.Context, args []string) error {
	cfg, err := config.Parse[importConfig](os.Environ())
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("import", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), importUsage); flags.PrintDefaults() }
	address := flags.String("url", cfg.URL, "the server")
	token := flags.String("token", "", "the user's token; others on this machine may see it, so rather set DUEBELL_TOKEN")
	format := flags.String("format", "", "ndjson or csv; without it the file's name says which")
	name := flags.String("name", "", "the import's name: under another one the same file is imported once more")
	report := flags.String("failures", "", "where to write what failed (default FILE.failures.ndjson)")
	if err := flags.Parse(args); err != nil {
		return cmp.Or(help(err), errUsage)
	}
	file := flags.Arg(0)
	if err := flags.Parse(flags.Args()[min(1, flags.NArg()):]); err != nil {
		return cmp.Or(help(err), errUsage)
	}
	if file == "" || flags.NArg() > 0 {
		flags.Usage()
		return errUsage
	}
	i := importer{
		url: strings.TrimSuffix(*address, "/") + "/api/tasks/batch", token: strings.TrimSpace(cmp.Or(*token, cfg.Token.Reveal())), name: *name,
		failures: failureFile{path: cmp.Or(*report, strings.TrimPrefix(file, "-")+".failures.ndjson")},
		tryTime:  10 * time.Minute, // as long as Knative lets the function work
		maxBytes: requestBytes,
		client: http.Client{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: 2 * time.Minute, ExpectContinueTimeout: time.Second,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a redirect would lose the body
		},
	}
	if u, err := url.Parse(i.url); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return errors.New("which server? Set DUEBELL_URL, or -url, to its address, such as https://duebell.example")
	}
	if i.token == "" {
		return errors.New("who are you? Set DUEBELL_TOKEN to the user's token")
	}
	if strings.ContainsFunc(i.token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errors.New("the token is not whole, or has something that is not part of it: set DUEBELL_TOKEN once more")
	}
	if i.mediaType, err = mediaTypeOf(file, *format); err != nil {
		return err
	}
	in, size := os.Stdin, int64(-1)
	if file != "-" {
		if in, err = os.Open(file); err != nil {
			return err
		}
		defer in.Close()
		if info, err := in.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
			if report, err := os.Stat(i.failures.path); err == nil && os.SameFile(info, report) {
				return errors.New("what failed would be written over FILE itself: name another file with -failures")
			}
		}
	}
	return i.run(ctx, in, size)
}

func help(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	return nil
}

const csvType = "text/csv"

func mediaTypeOf(file, format string) (string, error) {
	switch cmp.Or(format, strings.ToLower(strings.TrimPrefix(filepath.Ext(file), "."))) {
	case "csv", "tsv":
		return csvType, nil
	case "ndjson", "jsonl":
		return "application/x-ndjson", nil
	}
	return "", fmt.Errorf("is %q lines of JSON or a table? Say -format ndjson or -format csv", file)
}

// importer is the state of one import.
type importer struct {
	url, token, name, mediaType string

	client   http.Client
	tryTime  time.Duration // for one attempt
	bar      *progressbar.ProgressBar
	read     counting
	header   []byte // a table's header, with its line break
	maxBytes int    // of a request
	tooLarge int    // a request of this size was refused; 0: none
	sent     bool   // something was sent
	failures failureFile
	sum      importSummary
}

// importSummary is the last line of the server's answer to a request.
type importSummary struct {
	Created   int  `json:"created"`
	Scheduled int  `json:"scheduled_reminders"`
	Pending   int  `json:"pending_reminders"`
	Failed    *int `json:"failed"` // only the summary has it
}

// run imports everything, and returns what failed.
func (i *importer) run(ctx context.Context, in io.Reader, size int64) error {
	i.bar = progressbar.NewOptions64(size, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetVisibility(isTerminal(os.Stderr)),
		progressbar.OptionSetDescription("importing"), progressbar.OptionShowBytes(true), progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	i.read.Reader = in
	err := i.all(ctx)
	_ = i.bar.Clear()
	fmt.Printf("%d tasks created; %d reminders scheduled, %d pending; %d tasks failed\n", i.sum.Created, i.sum.Scheduled, i.sum.Pending, i.failures.n)
	if closeErr := i.failures.close(); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("the list of what failed is not whole: %w", closeErr))
	}
	i.failures.show(os.Stderr)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "Interrupted: the same command goes on from here"+i.through())
		return errInterrupted
	case err != nil && i.sum.Created > 0:
		return fmt.Errorf("%w\nWhen that is mended, the same command goes on from here%s", err, i.through())
	case err == nil && i.failures.n > 0:
		return fmt.Errorf("%d tasks failed; %s has them all", i.failures.n, i.failures.path)
	}
	return err
}

// through returns which other settings a repeated command needs to cut the file into the same
// requests.
func (i *importer) through() string {
	if i.tooLarge == 0 {
		return ""
	}
	return ", through the same proxy: requests were cut to what it takes, and cut in another way they would be new ones"
}

// all sends everything, request by request.
func (i *importer) all(ctx context.Context) error {
	records := api.NewRecords(&i.read, i.mediaType == csvType)
	if i.mediaType == csvType {
		header, _, err := records.Header()
		if err != nil {
			return told(err)
		}
		i.header = append(bytes.Clone(header), '\n')
	}
	for {
		r := i.newRequest()
		r.begins = i.read.n
		err := i.fill(r, records)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return err
		}
		r.ends = i.read.n
		if len(r.lines) > 0 {
			if err := i.send(ctx, r); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

// told returns an error for people, without its code.
func told(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return errors.New(f.Message)
	}
	return err
}

// request is one of an import's requests.
type request struct {
	body         *bytes.Buffer
	lines        []lines // where its records are in the file
	at           []int   // where its records begin in the body, and where the next one will
	begins, ends int64   // how much of the file was read before it, and with it
}

// lines are a range of lines in the file, from 1.
type lines struct{ first, last int }

func (i *importer) newRequest() *request {
	return &request{body: bytes.NewBuffer(bytes.Clone(i.header)), at: []int{len(i.header)}}
}

func (r *request) add(record []byte, at lines) {
	r.body.Write(record)
	r.body.WriteByte('\n')
	r.lines = append(r.lines, at)
	r.at = append(r.at, r.body.Len())
}

// record returns the nth record as it was sent.
func (r *request) record(n int) []byte {
	return r.body.Bytes()[r.at[n] : r.at[n+1]-1]
}

// fill reads records until the request is full, or io.EOF.
func (i *importer) fill(r *request, records *api.Records) error {
	for len(r.lines) < requestRecords && r.body.Len() < i.maxBytes {
		text, err := records.Next()
		if refused, ok := errors.AsType[*api.Refused](err); ok {
			err = i.failures.addRefused(refused, text)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		at := lines{records.Line, records.LastLine}
		if i.mediaType == csvType {
			if err := told(api.CheckUTF8(text)); err != nil {
				if !i.sent {
					return fmt.Errorf("line %d: %w", at.first, err)
				}
				if err := i.failures.add(at, err.Error(), text); err != nil {
					return err
				}
				continue
			}
		}
		r.add(text, at)
	}
	return nil
}

// sendHalves sends a request as two requests.
func (i *importer) sendHalves(ctx context.Context, r *request) error {
	half := [2]*request{i.newRequest(), i.newRequest()}
	middle := len(r.lines) / 2
	for n, at := range r.lines {
		half[min(n/middle, 1)].add(r.record(n), at)
	}
	split := r.begins + (r.ends-r.begins)*int64(r.at[middle])/int64(r.body.Len())
	half[0].begins, half[0].ends = r.begins, split
	half[1].begins, half[1].ends = split, r.ends
	for _, r := range half {
		if err := i.send(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// errTooLarge says that a request has to be smaller.
var errTooLarge = errors.New("the request is too large for the server, or for a proxy before it")

// send sends a request until it is answered, and stores the result. A request that is too large is
// sent as two.
func (i *importer) send(ctx context.Context, r *request) error {
	if i.tooLarge > 0 && r.body.Len() >= i.tooLarge && len(r.lines) > 1 {
		return i.sendHalves(ctx, r)
	}
	// The key contains the request's place in the file, so that equal lines are created twice. The
	// same command cuts the same requests.
	key := sha256.New()
	fmt.Fprintf(key, "%q %q %d ", i.name, i.mediaType, r.lines[0].first)
	key.Write(r.body.Bytes())
	answer, err := backoff.Retry(ctx, func() ([]byte, error) { return i.try(ctx, r, fmt.Sprintf("import-%x", key.Sum(nil))) },
		backoff.WithMaxElapsedTime(giveUpAfter), backoff.WithNotify(func(err error, _ time.Duration) {
			i.bar.Describe(line("trying again: "+err.Error(), 60))
			if !isTerminal(os.Stderr) {
				fmt.Fprintf(os.Stderr, "trying again: %v\n", err)
			}
		}))
	i.bar.Describe("importing")
	switch {
	case errors.Is(err, errTooLarge) && len(r.lines) == 1:
		return i.failures.add(r.lines[0], err.Error(), r.record(0))
	case errors.Is(err, errTooLarge):
		i.tooLarge = r.body.Len()
		i.maxBytes = i.tooLarge / 2
		return i.sendHalves(ctx, r)
	case err != nil:
		return err
	}
	i.sent = true
	return i.keep(r, answer)
}

// maxAnswer is larger than an answer in which every task failed.
const maxAnswer = 64 << 20

// giveUpAfter is how long a request is retried.
const giveUpAfter = 5 * time.Minute

// try sends a request once. Its error is permanent unless another attempt may succeed.
func (i *importer) try(ctx context.Context, r *request, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, i.tryTime, fmt.Errorf("the server has taken no request within %v", i.tryTime))
	defer cancel()
	size := int64(r.body.Len())
	body := &counting{Reader: bytes.NewReader(r.body.Bytes()), report: func(n int64) { _ = i.bar.Set64(r.begins + (r.ends-r.begins)*n/size) }}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.url, body)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	req.ContentLength = size
	for name, value := range map[string]string{"Authorization": "Bearer " + i.token, "Content-Type": i.mediaType, "Idempotency-Key": key} {
		req.Header.Set(name, value)
	}
	if size > expectFrom {
		req.Header.Set("Expect", "100-continue") // so that a request that is too large is refused before it is sent
	}
	resp, err := i.client.Do(req)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL, which would hide the cause
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	page := isPage(resp.Header, answer)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusOK && !page:
		return answer, nil
	case resp.StatusCode == http.StatusRequestEntityTooLarge:
		return nil, backoff.Permanent(fmt.Errorf("%w (%s)", errTooLarge, resp.Status))
	case page:
		err = fmt.Errorf("the server answers %s with a page for browsers, so it is a proxy or another server than Duebell: see whether DUEBELL_URL is right", resp.Status)
	default:
		err = fmt.Errorf("the server answers %s: %s", resp.Status, detail(answer))
	}
	after, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // too large a number counts as the largest
	after = min(after, int(time.Hour/time.Second))
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		if after == 0 {
			return nil, backoff.Permanent(err)
		}
	}
	if after > 1 {
		err = fmt.Errorf("%w (%w)", err, backoff.RetryAfter(after))
	}
	return nil, err
}

// expectFrom is the size from which on a request first asks whether it may be sent (Expect:
// 100-continue). It is the smallest limit that proxies are known to have.
const expectFrom = 64 << 10

// isPage reports whether an answer is HTML, which Duebell never sends.
func isPage(header http.Header, answer []byte) bool {
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	return mediaType == "text/html" || bytes.HasPrefix(bytes.TrimSpace(answer), []byte("<"))
}

// detail returns the detail of a problem on one line.
func detail(answer []byte) string {
	var problem struct{ Detail string }
	if json.Unmarshal(answer, &problem) != nil || problem.Detail == "" {
		return line(string(answer), 200)
	}
	return line(problem.Detail, 1000)
}

// keep adds the answer of a request to the totals.
func (i *importer) keep(r *request, answer []byte) error {
	for text := range bytes.Lines(answer) {
		var one struct {
			importSummary
			Index int
			Error string
		}
		if err := json.Unmarshal(text, &one); err != nil {
			return fmt.Errorf("the server's answer can't be read: %w", err)
		}
		if one.Failed != nil {
			i.sum.Created += one.Created
			i.sum.Scheduled += one.Scheduled
			i.sum.Pending += one.Pending
			return nil
		}
		if one.Index < 0 || one.Index >= len(r.lines) {
			return fmt.Errorf("the server says that task %d failed, of %d", one.Index, len(r.lines))
		}
		if err := i.failures.add(r.lines[one.Index], one.Error, r.record(one.Index)); err != nil {
			return err
		}
	}
	return errors.New("the server's answer has no summary")
}

// counting counts the bytes that are read.
type counting struct {
	io.Reader
	n      int64
	report func(n int64)
}

// Read implements io.Reader.
func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	if c.report != nil {
		c.report(c.n)
	}
	return n, err
}

// failureFile stores what failed: a JSON object for each record or range of lines, with the text of
// the file.
type failureFile struct {
	path  string
	n     int
	first []string // for the screen
	file  *os.File
	next  int // the line in which the next piece of a refused range begins; 0: there is none
}

// add counts and keeps one that failed.
func (f *failureFile) add(at lines, reason string, record []byte) error {
	f.count(at, reason)
	return f.keep(at, reason, record)
}

// addRefused stores a piece of what could not be read. The last piece is counted.
func (f *failureFile) addRefused(refused *api.Refused, text []byte) error {
	piece := lines{cmp.Or(f.next, refused.First), refused.Last}
	if refused.More {
		f.next = refused.Last
		if bytes.HasSuffix(text, []byte{'\n'}) {
			f.next++
		}
		return f.keep(piece, "these lines can't be read; the reason is with the rest of them, below", text)
	}
	f.count(lines{refused.First, refused.Last}, refused.Reason)
	f.next = 0
	if len(text) == 0 && piece.first != refused.First {
		piece.first = refused.Last
	}
	return f.keep(piece, refused.Reason, bytes.TrimSuffix(bytes.TrimSuffix(text, []byte{'\n'}), []byte{'\r'}))
}

func (f *failureFile) count(at lines, reason string) {
	f.n++
	if f.n > 20 {
		return
	}
	where := fmt.Sprintf("line %d", at.first)
	if at.last > at.first {
		where = fmt.Sprintf("lines %d to %d", at.first, at.last)
	}
	f.first = append(f.first, fmt.Sprintf("  %s: %s", where, line(reason, 200)))
}

func (f *failureFile) keep(at lines, reason string, record []byte) (err error) {
	if f.file == nil {
		if f.file, err = os.Create(f.path); err != nil {
			return err
		}
	}
	entry := struct {
		Line     int    `json:"line"`
		LastLine int    `json:"last_line"`
		Error    string `json:"error"`
		Record   string `json:"record"`
		Base64   []byte `json:"record_base64,omitempty"` // in its place if the text is not UTF-8
	}{Line: at.first, LastLine: at.last, Error: reason, Record: string(record)}
	if !utf8.Valid(record) {
		entry.Record, entry.Base64 = "", record
	}
	encoder := json.NewEncoder(f.file)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(entry)
}

func (f *failureFile) close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

func (f *failureFile) show(out io.Writer) {
	for _, text := range f.first {
		fmt.Fprintln(out, text)
	}
	if more := f.n - len(f.first); more > 0 {
		fmt.Fprintf(out, "  and %d more, which are in %s\n", more, f.path)
	}
}
