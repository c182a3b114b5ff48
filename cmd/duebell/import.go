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
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/schollz/progressbar/v3"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/config"
)

const importUsage = `Usage: duebell import [FLAGS] FILE

FILE holds tasks: one JSON object in each line (.ndjson, .jsonl), or a table with a header (.csv); - reads
from standard input, with -format. DUEBELL_URL names the server, DUEBELL_TOKEN is the user's token.

An import that broke off is gone on with by the same command, within 24 hours: what was created is not created
again. A file that was changed is another import; so import the tasks that failed, once mended, from a
file of their own.

`

// importConfig is what an import reads from its environment.
type importConfig struct {
	URL   string        `env:"DUEBELL_URL" help:"the server, such as https://duebell.example"`
	Token config.Secret `env:"DUEBELL_TOKEN" help:"the token of the user whose tasks they are to be"`
}

// The requests that an import is made of, at most: soon done, and small enough to be
// kept until they are.
const (
	requestRecords = 10_000
	requestBytes   = 8 << 20
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
		tryTime:  10 * time.Minute, // for which Knative lets the function work
		client: http.Client{
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: 2 * time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // they would lose the body
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
	case "csv":
		return csvType, nil
	case "ndjson", "jsonl":
		return "application/x-ndjson", nil
	}
	return "", fmt.Errorf("is %q lines of JSON or a table? Say -format ndjson or -format csv", file)
}

// importer carries out one import.
type importer struct {
	url, token, name, mediaType string

	client   http.Client
	tryTime  time.Duration // for one try
	bar      *progressbar.ProgressBar
	read     counting
	header   []byte // of a table, with its line break
	requests int
	failures failureFile
	sum      importSummary
}

// importSummary is the last line of the server's answer to a request.
type importSummary struct {
	Created   int  `json:"created"`
	Scheduled int  `json:"scheduled_reminders"`
	Pending   int  `json:"pending_reminders"`
	Failed    *int `json:"failed"` // what tells it from other lines
}

// run imports everything, and says what came of it.
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
		fmt.Fprintln(os.Stderr, "Interrupted: the same command goes on from here")
		return errInterrupted
	case err != nil && i.sum.Created > 0:
		return fmt.Errorf("%w\nWhen that is mended, the same command goes on from here", err)
	case err == nil && i.failures.n > 0:
		return fmt.Errorf("%d tasks failed; %s has them all", i.failures.n, i.failures.path)
	}
	return err
}

// all sends everything, request by request.
func (i *importer) all(ctx context.Context) error {
	records := api.NewRecords(&i.read, i.mediaType == csvType)
	if i.mediaType == csvType {
		header, err := records.Next()
		if err != nil {
			return fmt.Errorf("read the line that names the columns: %w", err)
		}
		i.header = append(bytes.Clone(header), '\n')
	}
	for {
		before := i.read.n
		r := request{body: bytes.NewBuffer(bytes.Clone(i.header)), at: []int{len(i.header)}}
		err := i.fill(&r, records)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return err
		}
		if len(r.lines) > 0 {
			if err := i.send(ctx, &r, before); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

// request is one of the requests that an import is made of.
type request struct {
	body  *bytes.Buffer
	lines []int // where its records are in the file
	at    []int // and in the body, with where the next one will be
}

// fill reads records until the request is full, or io.EOF.
func (i *importer) fill(r *request, records *api.Records) error {
	for len(r.lines) < requestRecords && r.body.Len() < requestBytes {
		text, err := records.Next()
		if errors.Is(err, api.ErrTooLong) {
			err = i.failures.add(records.Line, "it is too long, or has a quote that is not closed", nil)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		r.body.Write(text)
		r.body.WriteByte('\n')
		r.lines = append(r.lines, records.Line)
		r.at = append(r.at, r.body.Len())
	}
	return nil
}

// record returns what was sent as the nth record.
func (r *request) record(n int) []byte {
	return r.body.Bytes()[r.at[n] : r.at[n+1]-1]
}

// send sends a request until it is answered, and keeps what came of it.
func (i *importer) send(ctx context.Context, r *request, before int64) error {
	key := sha256.New()
	fmt.Fprintf(key, "%q %q %d ", i.name, i.mediaType, i.requests)
	key.Write(r.body.Bytes())
	i.requests++
	answer, err := backoff.Retry(ctx, func() ([]byte, error) { return i.try(ctx, r, fmt.Sprintf("import-%x", key.Sum(nil)), before) },
		backoff.WithMaxElapsedTime(giveUpAfter), backoff.WithNotify(func(err error, _ time.Duration) {
			i.bar.Describe(line("trying again: "+err.Error(), 60))
			if !isTerminal(os.Stderr) {
				fmt.Fprintf(os.Stderr, "trying again: %v\n", err)
			}
		}))
	i.bar.Describe("importing")
	if err != nil {
		return err
	}
	return i.keep(r, answer)
}

// giveUpAfter is for how long a request is tried.
const giveUpAfter = 5 * time.Minute

// try sends a request once. Its error is permanent unless another try may succeed.
func (i *importer) try(ctx context.Context, r *request, key string, before int64) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, i.tryTime, fmt.Errorf("the server has taken no request within %v", i.tryTime))
	defer cancel()
	size, whole := int64(r.body.Len()), i.read.n-before
	body := &counting{Reader: bytes.NewReader(r.body.Bytes()), report: func(n int64) { _ = i.bar.Set64(before + whole*n/size) }}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.url, body)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	req.ContentLength = size
	for name, value := range map[string]string{"Authorization": "Bearer " + i.token, "Content-Type": i.mediaType, "Idempotency-Key": key} {
		req.Header.Set(name, value)
	}
	resp, err := i.client.Do(req)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the address, which would hide what matters
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusOK {
		return answer, err
	}
	err = fmt.Errorf("the server answers %s: %s", resp.Status, detail(answer))
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

// detail is what a problem says, on one line.
func detail(answer []byte) string {
	var problem struct{ Detail string }
	if json.Unmarshal(answer, &problem) != nil || problem.Detail == "" {
		return line(string(answer), 200)
	}
	return line(problem.Detail, 1000)
}

// keep adds up what the answer to a request says.
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

// counting counts what is read.
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

// failureFile keeps what failed, a JSON object in each line: the record is there as it
// was in the file.
type failureFile struct {
	path  string
	n     int
	first []string // for the screen
	file  *os.File
}

func (f *failureFile) add(at int, reason string, record []byte) (err error) {
	if f.file == nil {
		if f.file, err = os.Create(f.path); err != nil {
			return err
		}
	}
	f.n++
	if f.n <= 20 {
		f.first = append(f.first, fmt.Sprintf("  line %d: %s", at, line(reason, 200)))
	}
	return json.NewEncoder(f.file).Encode(struct {
		Line   int    `json:"line"`
		Error  string `json:"error"`
		Record string `json:"record"`
	}{at, reason, string(record)})
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
