package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/config"
)

const exportUsage = `Usage: duebell export [FLAGS] > FILE

FILE gets all tasks of one user, the newest first, as lines of JSON or as a table. duebell import reads it
again. DUEBELL_URL names the server, DUEBELL_TOKEN is the user's token.

`

// exportFile writes a user's tasks to standard output.
func exportFile(ctx context.Context, args []string) error {
	cfg, err := config.Parse[importConfig](os.Environ())
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("export", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), exportUsage); flags.PrintDefaults() }
	address := flags.String("url", cfg.URL, "the server")
	format := flags.String("format", "ndjson", "ndjson or csv")
	if err := parse(flags, args); err != nil {
		return err
	}
	e := exporter{base: strings.TrimSuffix(*address, "/"), token: strings.TrimSpace(cfg.Token.Reveal()), client: http.Client{Timeout: time.Minute}}
	if u, err := url.Parse(e.base); err != nil || u.Host == "" {
		return errors.New("which server? Set DUEBELL_URL, or -url, to its address, such as https://duebell.example")
	}
	if e.token == "" {
		return errors.New("who are you? Set DUEBELL_TOKEN to the user's token")
	}
	out := bufio.NewWriter(os.Stdout)
	write, err := lineWriter(out, *format)
	if err != nil {
		return err
	}
	n, err := e.all(ctx, write)
	err = errors.Join(err, out.Flush())
	if err == nil {
		fmt.Fprintf(os.Stderr, "%d tasks\n", n)
	}
	return err
}

// lineWriter returns a function that writes lines in a format.
func lineWriter(out io.Writer, format string) (func(api.Line) error, error) {
	switch format {
	case "ndjson":
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		return func(l api.Line) error { return encoder.Encode(l) }, nil
	case "csv":
		table := csv.NewWriter(out)
		row := func(cells []string) error {
			err := table.Write(cells)
			table.Flush()
			return cmp.Or(err, table.Error())
		}
		return func(l api.Line) error { return row(l.Cells()) }, row(api.LineColumns)
	}
	return nil, fmt.Errorf("-format must be ndjson or csv, not %q", format)
}

// exporter reads one user's tasks.
type exporter struct {
	base, token string
	client      http.Client
}

// all passes all tasks to write, page by page, and returns how many there were.
func (e *exporter) all(ctx context.Context, write func(api.Line) error) (n int, err error) {
	for cursor := ""; ; {
		var page struct {
			Tasks      []api.Task `json:"tasks"`
			NextCursor *string    `json:"next_cursor"`
		}
		if err := e.get(ctx, "/api/tasks?limit=500&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return n, err
		}
		for _, t := range page.Tasks {
			if err := write(api.NewLine(t)); err != nil {
				return n, err
			}
			n++
		}
		if page.NextCursor == nil {
			return n, nil
		}
		cursor = *page.NextCursor
	}
}

func (e *exporter) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.base+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+e.token)
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers %s: %.500s", resp.Status, body)
	}
	return json.Unmarshal(body, into)
}
