// Package jobs calls Dapr: it schedules the job that wakes Duebell at a reminder's
// instant, and publishes events. A job carries only IDs. When Dapr calls back, the reminder's state
// is read from Postgres.
//
// Dapr's documentation: https://docs.dapr.io/reference/api/jobs_api/
package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	runtime "github.com/dapr/dapr/pkg/proto/runtime/v1"
	dapr "github.com/dapr/go-sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/trace"
)

// payload is what a job carries: IDs only, and the trace of the request that asked for it,
// which no callback of Dapr's has.
type payload struct {
	task.Revision
	Trace string `json:"traceparent,omitempty"`
}

// Config says how to reach daprd, and what Dapr does when a callback fails.
type Config struct {
	Endpoint string        `env:"DAPR_GRPC_ENDPOINT,required" help:"the address of daprd's gRPC API: host:port, or a URL with http or https"`
	APIToken config.Secret `env:"DAPR_API_TOKEN,required" help:"the token that daprd's API wants"`
	// Dapr counts the intervals from the due time, not from the last try. So interval times
	// retries is for how long the trigger function may be away before only the
	// sweep can fire the reminder.
	RetryInterval time.Duration `env:"JOB_RETRY_INTERVAL" envDefault:"2s" help:"how long after a failed callback Dapr repeats it"`
	MaxRetries    uint32        `env:"JOB_MAX_RETRIES" envDefault:"60" help:"how often Dapr repeats a failed callback"`
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	var problems []error
	if c.RetryInterval < 100*time.Millisecond {
		problems = append(problems, errors.New("JOB_RETRY_INTERVAL must be at least 100ms: Dapr would repeat a failing callback without a pause"))
	}
	if c.MaxRetries < 1 || c.MaxRetries > 10_000 {
		problems = append(problems, errors.New("JOB_MAX_RETRIES must be between 1 and 10000"))
	}
	return errors.Join(problems...)
}

// Dapr schedules and deletes jobs through one daprd. It is safe for concurrent
// use.
type Dapr struct {
	client dapr.Client
	conn   *grpc.ClientConn
	cfg    Config

	connecting *connecting
}

// Open makes a client. It connects on first use, and again
// whenever the connection was lost. See [connecting] for what calls do meanwhile.
func Open(cfg Config) (*Dapr, error) {
	dapr.SetLogger(nil)
	target, transport := cfg.Endpoint, insecure.NewCredentials()
	if rest, ok := strings.CutPrefix(target, "https://"); ok {
		target, transport = rest, credentials.NewTLS(nil)
	} else {
		target = strings.TrimPrefix(target, "http://")
	}
	waits := new(connecting)
	// The SDK's own constructor dials, and blocks for up to 5 s.
	conn, err := grpc.NewClient("dns:///"+target,
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(apiToken(cfg.APIToken)),
		grpc.WithUnaryInterceptor(waits.call),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxAnswer)),
		// daprd is near: find out soon that it is back.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: time.Second,
		}))
	if err != nil {
		return nil, fmt.Errorf("DAPR_GRPC_ENDPOINT: %w", err)
	}
	return &Dapr{client: dapr.NewClientWithConnection(conn), conn: conn, cfg: cfg, connecting: waits}, nil
}

// Close ends the connection.
func (d *Dapr) Close() { _ = d.conn.Close() }

// apiToken sends daprd's API token with every call.
type apiToken config.Secret

func (t apiToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"dapr-api-token": config.Secret(t).Reveal()}, nil
}

// RequireTransportSecurity is false because daprd's API is usually reached inside
// the cluster's network without TLS.
func (apiToken) RequireTransportSecurity() bool { return false }

// Schedule has Dapr call back for a revision at an instant. If there is a job with the revision's
// name already, nothing changes: it is the same job.
func (d *Dapr) Schedule(ctx context.Context, r task.Revision, at time.Time) error {
	data, err := json.Marshal(payload{r, trace.Parent(ctx)})
	if err != nil {
		return fmt.Errorf("encode job %s: %w", r.JobName(), err)
	}
	dueTime := at.UTC().Format(time.RFC3339Nano)
	err = d.client.ScheduleJob(ctx, &dapr.Job{
		Name:    r.JobName(),
		DueTime: &dueTime,
		// Without a type URL the callback's body is exactly these bytes.
		Data: &anypb.Any{Value: data},
		// Dapr's default would drop the job after 3 tries, a second apart.
		FailurePolicy: &dapr.JobFailurePolicyConstant{MaxRetries: &d.cfg.MaxRetries, Interval: &d.cfg.RetryInterval},
	})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("schedule job %s: %w", r.JobName(), err)
	}
	return nil
}

// Keep makes a job that never fires, under a name that no reminder has. If it is there
// already, nothing changes.
func (d *Dapr) Keep(ctx context.Context, name string) error {
	never := "9999-12-31T00:00:00Z"
	err := d.client.ScheduleJob(ctx, &dapr.Job{Name: name, DueTime: &never})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("schedule job %s: %w", name, err)
	}
	return nil
}

// Holds reports whether Dapr has a job with a name. It fails if Dapr's answer does not say so
// for certain.
func (d *Dapr) Holds(ctx context.Context, name string) (bool, error) {
	_, err := d.client.GetJob(ctx, name)
	switch answer := status.Convert(err); {
	case err == nil:
		return true, nil
	// Dapr says Internal, and means this by its text (measured with 1.18.1 and 1.18.2). Much else may
	// be not found: the scheduler's host, an app, a namespace. Nothing is known then.
	case (answer.Code() == codes.Internal || answer.Code() == codes.NotFound) && strings.HasSuffix(answer.Message(), "job not found: "+name):
		return false, nil
	default:
		return false, fmt.Errorf("look for job %s: %w", name, err)
	}
}

// PubSub is the name of the pub/sub component that events are published to.
const PubSub = "kafka-pubsub"

// ErrNotPublished says that no event can have reached the broker, because
// daprd could not be reached, or refused the call. After any other error, events may have been published.
var ErrNotPublished = errors.New("not published")

// Event is what is published: data, as JSON, in a CloudEvent.
type Event struct {
	ID    string
	Data  any
	Trace string // which its subscribers go on with, as trace.Parent has it; may be ""
}

// Publish publishes one event on a topic of the component PubSub.
func (d *Dapr) Publish(ctx context.Context, topic, id string, data any) error {
	return d.PublishAll(ctx, topic, Event{id, data, trace.Parent(ctx)})
}

// PublishAll publishes events, whose ids differ, in one call to Dapr. If it fails, some
// of them may have been published. Over gRPC Dapr does not say which (measured with 1.18.1 and 1.18.2), although
// https://docs.dapr.io/reference/api/pubsub_api/ says it does.
func (d *Dapr) PublishAll(ctx context.Context, topic string, events ...Event) error {
	request := &runtime.BulkPublishRequest{PubsubName: PubSub, Topic: topic}
	for _, e := range events {
		content, err := json.Marshal(e.Data)
		if err != nil {
			return fmt.Errorf("encode event %s: %w: %w", e.ID, ErrNotPublished, err)
		}
		about := map[string]string{"cloudevent.id": e.ID}
		if e.Trace != "" {
			about["cloudevent.traceparent"] = e.Trace
		}
		request.Entries = append(request.Entries, &runtime.BulkPublishRequestEntry{
			EntryId: e.ID, Event: content, ContentType: "application/json", Metadata: about,
		})
	}
	var reached peer.Peer
	answer, err := runtime.NewDaprClient(d.conn).BulkPublishEvent(ctx, request, grpc.Peer(&reached))
	switch failed := answer.GetFailedEntries(); {
	case err == nil && len(failed) == 0:
		return nil
	case err == nil:
		return fmt.Errorf("publish on %s: %s", topic, failed[0].GetError())
	case reached.Addr == nil, slices.Contains(refusals, status.Code(err)):
		return fmt.Errorf("publish on %s: %w: %w", topic, ErrNotPublished, err)
	default:
		return fmt.Errorf("publish on %s: %w", topic, err)
	}
}

// refusals are daprd's answers if it has not called the broker: there is no such component,
// or we may not use it.
var refusals = []codes.Code{
	codes.InvalidArgument, codes.FailedPrecondition, codes.NotFound, codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented,
}

// Delete deletes a revision's job. One that isn't there is no error.
func (d *Dapr) Delete(ctx context.Context, r task.Revision) error { return d.Remove(ctx, r.JobName()) }

// Remove deletes a job by its name. One that isn't there is no error.
func (d *Dapr) Remove(ctx context.Context, name string) error {
	if err := d.client.DeleteJob(ctx, name); err != nil {
		return fmt.Errorf("delete job %s: %w", name, err)
	}
	return nil
}

// MaxAnswer is how many bytes an answer of Dapr may have. It is daprd's own limit, too, as
// manifests/dapr/daprd.yaml sets it (dapr.io/max-body-size): its default of 4 MiB holds the
// list of 18,000 jobs.
const MaxAnswer = 32 << 20

// List returns the names of all jobs there are. Dapr answers them in one message, with 230
// bytes for each, so that [MaxAnswer] holds 140,000. If there are more it fails.
func (d *Dapr) List(ctx context.Context) ([]string, error) {
	answer, err := runtime.NewDaprClient(d.conn).ListJobs(ctx, &runtime.ListJobsRequest{})
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	names := make([]string, len(answer.GetJobs()))
	for i, job := range answer.GetJobs() {
		names[i] = job.GetName()
	}
	return names, nil
}
