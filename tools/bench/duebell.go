package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// parallel does something n times, so many at a time.
func parallel(n, concurrent int, do func(i int) error) error {
	var group errgroup.Group
	next := make(chan int)
	for range concurrent {
		group.Go(func() error {
			var failed error
			for i := range next {
				if failed == nil {
					failed = do(i)
				}
			}
			return failed
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	return group.Wait()
}

// once is a task that is due once, and daily one that comes each day from then on.
func once(due time.Time) string {
	return fmt.Sprintf(`{"title":"benchmark","due_date":%q}`, due.Format(time.RFC3339Nano))
}

func daily(due time.Time) string {
	return fmt.Sprintf(`{"title":"benchmark",%s}`, dailyFrom(due))
}

func dailyFrom(due time.Time) string {
	return fmt.Sprintf(`"due_local":%q,"time_zone":"UTC","recurrence":{"rule":"FREQ=DAILY"}`, due.UTC().Format("2006-01-02T15:04:05"))
}

// create creates a task and returns its reminder's state.
func (w *world) create(ctx context.Context, url, body string) (state string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/tasks", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var task struct{ Reminders []struct{ State string } }
	if err := json.Unmarshal(answer, &task); err != nil || len(task.Reminders) != 1 {
		return "", fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return task.Reminders[0].State, nil
}

// imports imports n tasks that are due once as lines of JSON, and fails unless all are scheduled.
func (w *world) imports(ctx context.Context, n int, at func(i int) time.Time) (time.Duration, error) {
	return w.importAs(ctx, n, func(i int) string { return fmt.Sprintf(`"due_date":%q`, at(i).UTC().Format(time.RFC3339Nano)) })
}

// importsDaily does the same with tasks that come each day.
func (w *world) importsDaily(ctx context.Context, n int, at func(i int) time.Time) (time.Duration, error) {
	return w.importAs(ctx, n, func(i int) string { return dailyFrom(at(i)) })
}

func (w *world) importAs(ctx context.Context, n int, due func(i int) string) (time.Duration, error) {
	began := time.Now()
	for first := 0; first < n; first += 100_000 {
		reader, writer := io.Pipe()
		go func() {
			out := bufio.NewWriterSize(writer, 64<<10)
			for i := first; i < min(first+100_000, n); i++ {
				fmt.Fprintf(out, `{"title":"%d",%s,"channels":["in_app"]}`+"\n", i, due(i))
			}
			writer.CloseWithError(out.Flush())
		}()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url("create-tasks-batch")+"/api/tasks/batch", reader)
		if err != nil {
			return 0, err
		}
		req.Header.Set("Authorization", "Bearer "+w.token)
		req.Header.Set("Content-Type", "application/x-ndjson")
		resp, err := w.client.Do(req)
		if err != nil {
			return 0, err
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return 0, err
		}
		lines := bytes.Split(bytes.TrimSpace(answer), []byte("\n"))
		var sum struct {
			Created   int
			Scheduled int `json:"scheduled_reminders"`
		}
		if err := json.Unmarshal(lines[len(lines)-1], &sum); err != nil || sum.Created != sum.Scheduled || sum.Created != min(n-first, 100_000) {
			return 0, fmt.Errorf("not all of the import is scheduled: %s %s", resp.Status, lines[len(lines)-1])
		}
	}
	return time.Since(began), nil
}

// loop is what one writes first: for each task a row, then its job, then the mark, one
// after the other.
func (w *world) loop(ctx context.Context, n int, at func(i int) time.Time) (time.Duration, error) {
	if _, err := w.db.Exec(ctx, `create table if not exists loop (id int primary key, title text not null, due_date timestamptz not null, scheduled boolean not null default false); truncate loop`); err != nil {
		return 0, err
	}
	began := time.Now()
	for i := range n {
		if _, err := w.db.Exec(ctx, `insert into loop (id, title, due_date) values ($1, 'benchmark', $2)`, i, at(i)); err != nil {
			return 0, err
		}
		if err := w.raw.schedule(ctx, fmt.Sprintf("loop-%d", i), at(i)); err != nil {
			return 0, err
		}
		if _, err := w.db.Exec(ctx, `update loop set scheduled = true where id = $1`, i); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// rates measures how fast tasks go in.
func (w *world) rates(ctx context.Context, f figures) error {
	soon := time.Now().Add(horizon / 2)
	near := func(int) time.Time { return soon }
	far := func(int) time.Time { return soon.AddDate(0, 1, 0) }
	raw := func(ctx context.Context) error {
		best := 0.0
		for _, concurrent := range []int{32, 64, 128} {
			if err := w.raw.deleteAll(ctx); err != nil {
				return err
			}
			cpu := w.cpu()
			took, err := w.raw.many(ctx, w.Schedule, concurrent, near)
			if err != nil {
				return err
			}
			w.spent(f, "raw_dapr_schedule", w.Schedule, cpu)
			rate := float64(w.Schedule) / took.Seconds()
			if best = max(best, rate); concurrent == 64 {
				f.add("raw_dapr_schedule_64_per_s", rate)
			}
		}
		f.add("raw_dapr_schedule_per_s", best)
		return nil
	}
	// Those within the horizon are scheduled with Dapr, those beyond it are not.
	creates := func(name, body string) func(context.Context) error {
		return func(ctx context.Context) error {
			var mu sync.Mutex
			var ms []float64
			cpu, began := w.cpu(), time.Now()
			err := parallel(w.Creates, 64, func(int) error {
				began := time.Now()
				state, err := w.create(ctx, w.url("create-task"), body)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				if state == "scheduled" { // others don't count
					ms = append(ms, float64(time.Since(began).Microseconds())/1000)
				}
				return nil
			})
			f.rate(name+"_per_s", len(ms), time.Since(began))
			w.spent(f, name, w.Creates, cpu)
			f.add(name+"_p50_ms", quantile(ms, 0.5))
			f.add(name+"_p99_ms", quantile(ms, 0.99))
			return err
		}
	}
	rate := func(name string, n int, do func(context.Context, int, func(int) time.Time) (time.Duration, error), at func(int) time.Time) func(context.Context) error {
		return func(ctx context.Context) error {
			cpu := w.cpu()
			took, err := do(ctx, n, at)
			if err == nil {
				f.rate(name, n, took)
				w.spent(f, strings.TrimSuffix(name, "_per_s"), n, cpu)
			}
			return err
		}
	}
	err := w.interleaved(ctx, raw, creates("create", once(near(0))), creates("create_recurring", daily(near(0))), creates("create_far", once(far(0))),
		rate("sequential_import_per_s", w.Sequential, w.loop, near),
		rate("import_near_per_s", w.Near, w.imports, near),
		rate("import_far_per_s", w.Far, w.imports, far),
		rate("river_insert_per_s", w.River, func(ctx context.Context, n int, at func(int) time.Time) (time.Duration, error) {
			if err := w.river.clear(ctx); err != nil {
				return 0, err
			}
			return w.river.insert(ctx, n, at)
		}, far))
	if err != nil {
		return err
	}
	return w.addRSS(f, "rss_mb_create_task_loaded", "create-task")
}

// arrivals waits until n reminders are in the inbox, and returns for each how late it
// was committed, in seconds.
func (w *world) arrivals(ctx context.Context, n int, at func(i int) time.Time) ([]float64, error) {
	deadline := at(n - 1).Add(2 * time.Minute)
	for got := 0; got < n; {
		if err := w.db.QueryRow(ctx, `select count(*) from notifications`).Scan(&got); err != nil {
			return nil, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d of %d reminders are in the inbox", got, n)
		}
		time.Sleep(200 * time.Millisecond)
	}
	return latenesses(ctx, w.db, at, `select t.title::int, pg_xact_commit_timestamp(n.xmin) from notifications n join tasks t on t.id = n.task_id`)
}

// contender is one of those whose lateness is compared.
type contender struct {
	name     string
	put      func(ctx context.Context, n int, at func(int) time.Time) (time.Duration, error)
	arrivals func(ctx context.Context, n int, at func(int) time.Time) ([]float64, error)
}

func (w *world) contenders() []contender {
	return []contender{
		{"raw_dapr_", func(ctx context.Context, n int, at func(int) time.Time) (time.Duration, error) {
			return w.raw.many(ctx, n, 64, at)
		}, w.raw.arrivals},
		{"river_", func(ctx context.Context, n int, at func(int) time.Time) (time.Duration, error) {
			if err := w.river.clear(ctx); err != nil {
				return 0, err
			}
			return w.river.insert(ctx, n, at)
		}, w.river.arrivals},
		{"", w.imports, w.arrivals},
	}
}

// race has each contender bring n reminders, which it is given a while before the
// first is due.
func (w *world) race(ctx context.Context, f figures, contenders []contender, what string, n int, every time.Duration, result func(name string, late []float64)) error {
	var measure []func(context.Context) error
	for _, c := range contenders {
		measure = append(measure, func(ctx context.Context) error {
			first := time.Now().Add(w.Lead).Truncate(time.Second)
			at := func(i int) time.Time { return first.Add(time.Duration(i) * every) }
			if _, err := c.put(ctx, n, at); err != nil {
				return err
			}
			// As Postgres has done by itself in any database that is older than a minute.
			for _, db := range []*pgxpool.Pool{w.db, w.river.pool} {
				if _, err := db.Exec(ctx, `analyze`); err != nil {
					return err
				}
			}
			if time.Now().After(first) {
				return fmt.Errorf("%d reminders could not be put in %v: the machine is too slow", n, w.Lead)
			}
			cpu := w.cpu()
			late, err := c.arrivals(ctx, n, at)
			if err == nil {
				result(c.name, late)
				w.spent(f, c.name+what, n, cpu)
			}
			return err
		})
	}
	return w.interleaved(ctx, measure...)
}

func (w *world) spikes(ctx context.Context, f figures) error {
	err := w.race(ctx, f, append(w.contenders(), contender{"recurring_", w.importsDaily, w.arrivals}), "spike", w.Spike, 0, func(name string, late []float64) { f.add(name+"spike_s", quantile(late, 1)) })
	if err != nil {
		return err
	}
	return w.addRSS(f, "rss_mb_trigger_reminder_loaded", "trigger-reminder")
}

func (w *world) spreads(ctx context.Context, f figures) error {
	return w.race(ctx, f, w.contenders(), "spread", w.Spread, time.Millisecond, func(name string, late []float64) {
		f.add(name+"spread_p50_ms", quantile(late, 0.5)*1000)
		f.add(name+"spread_p99_ms", quantile(late, 0.99)*1000)
	})
}
