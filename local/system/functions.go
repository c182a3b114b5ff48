package system

import (
	"slices"
	"time"
)

// Function is a function that the system runs.
type Function struct {
	// Name is the function's, or that of a further instance of it.
	Name string
	// Program is what runs, in Options.FunctionsDir; "" means the one called Name.
	Program string
	// Variables are the environment variables that it gets besides HOST, PORT and SHUTDOWN_GRACE:
	// only those that it needs.
	Variables []string
	// Every, if not 0, is how long after its last answer it is invoked again. In a cluster it is
	// invoked every minute, or once a day.
	Every time.Duration
	// Subscribes says that it gets events. It has a daprd of its own, whose app-id is its name.
	// manifests/subscriptions says which events it gets.
	Subscribes bool
}

const (
	trigger      = "trigger-reminder" // which Dapr calls
	sendFunction = "send"             // which others wake
)

var (
	users    = []string{"OIDC_ISSUER", "OIDC_AUDIENCE"}
	database = []string{"DATABASE_URL"}
	jobs     = []string{"DAPR_GRPC_ENDPOINT", "DAPR_API_TOKEN"}
	callback = []string{"APP_API_TOKEN"}
	waking   = []string{"SEND_URL"}
	asking   = []string{"VERIFY_KEY"}
	linking  = []string{"LINK_KEY"}
	webhooks = []string{"WEBHOOK_ALLOWED_HOSTS"}
	email    = []string{
		"EMAIL_FROM", "PUBLIC_URL", "UNSUBSCRIBE_KEY", "SUPPRESSION_KEY", "SENDGRID_API_KEY", "SENDGRID_URL", "SES_REGION", "SES_URL",
		"SMTP_ADDRESS", "SMTP_USERNAME", "SMTP_PASSWORD", "SMTP_TLS",
	}
	push    = []string{"FCM_CREDENTIALS", "FCM_URL", "ONESIGNAL_APP_ID", "ONESIGNAL_API_KEY", "ONESIGNAL_URL", "WEBPUSH_KEY", "WEBPUSH_PUBLIC_KEY", "WEBPUSH_SUBJECT"}
	sms     = []string{"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM", "TWILIO_URL", "SNS_REGION", "SNS_URL"}
	amazon  = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
	sending = slices.Concat(email, push, sms, amazon, webhooks)
)

// Functions are Duebell's functions. Package gateway has their routes.
var Functions = []Function{
	{Name: "create-task", Variables: slices.Concat(users, database, jobs)},
	{Name: "create-tasks-batch", Variables: slices.Concat(users, database, jobs)},
	{Name: "update-task", Variables: slices.Concat(users, database, jobs)},
	{Name: "delete-task", Variables: slices.Concat(users, database, jobs)},
	{Name: "get-tasks", Variables: slices.Concat(users, database)},
	{Name: "inbox", Variables: slices.Concat(users, database, jobs)},
	{Name: "preferences", Variables: slices.Concat(users, database, webhooks, waking, asking, []string{"UNSUBSCRIBE_KEY", "SUPPRESSION_KEY", "WEBPUSH_PUBLIC_KEY"})},
	{Name: trigger, Variables: slices.Concat(callback, database, jobs, waking, sending)},
	{Name: sendFunction, Variables: slices.Concat(database, jobs, asking, linking, sending)},
	{Name: "links", Variables: slices.Concat(database, jobs, linking)},
	{Name: "reports", Variables: slices.Concat(database, []string{"SUPPRESSION_KEY", "PUBLIC_URL", "SENDGRID_EVENTS_KEY", "SES_EVENTS_TOPICS", "SES_EVENTS_URL", "TWILIO_AUTH_TOKEN"})},
	{Name: "console", Variables: slices.Concat(users, []string{"CONSOLE_SCOPES"})},
	{Name: "dead-letters", Variables: slices.Concat(users, database)},
	{Name: "retry-dlq", Variables: slices.Concat(database, jobs, waking, asking, sending), Every: 2 * time.Second},
	{Name: "audit-log", Variables: slices.Concat(callback, database), Subscribes: true},
	{Name: "analytics", Variables: slices.Concat(callback, users, database), Subscribes: true},
	{Name: "nightly-cleanup", Variables: slices.Concat(database, jobs), Every: 24 * time.Hour},
}
