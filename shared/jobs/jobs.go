// Package jobs calls Dapr. It schedules the job that calls Duebell back at a reminder's instant,
// and publishes events. A job carries only ids; the callback reads the reminder's state from
// Postgres.
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

// payload is the data of a job: ids, and the trace of the request that scheduled it. Dapr's
// callbacks have no trace of their own.
type payload struct {
	task.Revision
	Trace string `json:"traceparent,omitempty"`
}

// Config has daprd's address, and how Dapr retries a callback.
type Config struct {
	Endpoint string        `env:"DAPR_GRPC_ENDPOINT,required" help:"the address of daprd's gRPC API: host:port, or a URL with http or https"`
	APIToken config.Secret `env:"DAPR_API_TOKEN,required" help:"the token that daprd's API wants"`
	// Dapr counts the intervals from the due time, not from the last attempt. So the trigger
	// function may be away for interval times retries; after that only the sweep fires the
	// reminder.
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

// Dapr calls Dapr through one daprd. It is safe for concurrent use.
type Dapr struct {
	client dapr.Client
	conn   *grpc.ClientConn
	cfg    Config

	connecting *connecting
}

// Open returns a client. It connects on first use, and again when the connection is lost. While
// there is none, calls wait: see [connecting].
func Open(cfg Config) (*Dapr, error) {
	dapr.SetLogger(nil)
	target, transport := cfg.Endpoint, insecure.NewCredentials()
	if rest, ok := strings.CutPrefix(target, "https://"); ok {
		target, transport = rest, credentials.NewTLS(nil)
	} else {
		target = strings.TrimPrefix(target, "http://")
	}
	waits := new(connecting)
	// The SDK's own constructor connects, and blocks for up to 5 s.
	conn, err := grpc.NewClient("dns:///"+target,
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(apiToken(cfg.APIToken)),
		grpc.WithUnaryInterceptor(waits.call),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxAnswer)),
		// daprd is near, so the pauses between attempts to connect are short.
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

// Schedule schedules a callback for a revision at an instant. If a job with the revision's name
// exists, nothing changes, since it is the same job.
func (d *Dapr) Schedule(ctx context.Context, r task.Revision, at time.Time) error {
	data, err := json.Marshal(payload{r, trace.Parent(ctx)})
	if err != nil {
		return fmt.Errorf("encode job %s: %w", r.JobName(), err)
	}
	dueTime := at.UTC().Format(time.RFC3339Nano)
	err = d.client.ScheduleJob(ctx, &dapr.Job{
		Name:    r.JobName(),
		DueTime: &dueTime,
		// Without a type URL the callback's body is exactly the data.
		Data: &anypb.Any{Value: data},
		// Dapr's default drops the job after 3 attempts, a second apart.
		FailurePolicy: &dapr.JobFailurePolicyConstant{MaxRetries: &d.cfg.MaxRetries, Interval: &d.cfg.RetryInterval},
	})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("schedule job %s: %w", r.JobName(), err)
	}
	return nil
}

// Keep makes a job that never fires. Its name must not be a reminder's. If it exists, nothing
// changes.
func (d *Dapr) Keep(ctx context.Context, name string) error {
	never := "9999-12-31T00:00:00Z"
	err := d.client.ScheduleJob(ctx, &dapr.Job{Name: name, DueTime: &never})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("schedule job %s: %w", name, err)
	}
	return nil
}

// Holds reports whether Dapr has a job with that name. If Dapr's answer is not certain, it returns
// an error.
func (d *Dapr) Holds(ctx context.Context, name string) (bool, error) {
	_, err := d.client.GetJob(ctx, name)
	switch answer := status.Convert(err); {
	case err == nil:
		return true, nil
	// Dapr answers Internal, and only the text says that the job does not exist (measured with
	// 1.18.1 and 1.18.2). "Not found" may mean much else: the scheduler's host, an app, a
	// namespace.
	case (answer.Code() == codes.Internal || answer.Code() == codes.NotFound) && strings.HasSuffix(answer.Message(), "job not found: "+name):
		return false, nil
	default:
		return false, fmt.Errorf("look for job %s: %w", name, err)
	}
}

// PubSub is the pub/sub component for events.
const PubSub = "kafka-pubsub"

// ErrNotPublished says that no event has reached the broker, because daprd was not reached or
// refused the call. After any other error, events may have been published.
var ErrNotPublished = errors.New("not published")

// Event is an event to publish. Data is sent as JSON in a CloudEvent.
type Event struct {
	ID    string
	Data  any
	Trace string // for subscribers to continue, as trace.Parent has it; may be ""
}

// Publish publishes one event on a topic.
func (d *Dapr) Publish(ctx context.Context, topic, id string, data any) error {
	return d.PublishAll(ctx, topic, Event{id, data, trace.Parent(ctx)})
}

// PublishAll publishes events in one call to Dapr. Their ids must differ. After an error some of
// them may have been published. Over gRPC Dapr does not say which (measured with 1.18.1 and
// 1.18.2), although https://docs.dapr.io/reference/api/pubsub_api/ says it does.
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

// refusals are the codes by which daprd answers without calling the broker: the component does not
// exist, or we may not use it.
var refusals = []codes.Code{
	codes.InvalidArgument, codes.FailedPrecondition, codes.NotFound, codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented,
}

// Delete deletes a revision's job. One that does not exist is no error.
func (d *Dapr) Delete(ctx context.Context, r task.Revision) error { return d.Remove(ctx, r.JobName()) }

// Remove deletes a job by its name. One that does not exist is no error.
func (d *Dapr) Remove(ctx context.Context, name string) error {
	if err := d.client.DeleteJob(ctx, name); err != nil {
		return fmt.Errorf("delete job %s: %w", name, err)
	}
	return nil
}

// MaxAnswer is the greatest size of an answer from Dapr, in bytes. manifests/dapr/daprd.yaml sets
// the same limit for daprd (dapr.io/max-body-size). Its default of 4 MiB has room for a list of
// 18,000 jobs.
const MaxAnswer = 32 << 20

// List returns the names of all jobs. Dapr answers in one message, with 230 bytes for each job, so
// [MaxAnswer] has room for 140,000. With more jobs List fails.
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
