package system

import "slices"

// Function is a function that the system runs.
type Function struct {
	// Name is the function's, and its program's in Options.FunctionsDir.
	Name string
	// Variables are the environment variables that it is given, besides HOST,
	// PORT and SHUTDOWN_GRACE: what it needs and nothing else.
	Variables []string
}

// trigger is the function that Dapr calls.
const trigger = "trigger-reminder"

var (
	users    = []string{"OIDC_ISSUER", "OIDC_AUDIENCE"}
	database = []string{"DATABASE_URL"}
	jobs     = []string{"DAPR_GRPC_ENDPOINT", "DAPR_API_TOKEN"}
	callback = []string{"APP_API_TOKEN"}
	email    = []string{"SENDGRID_API_KEY", "SENDGRID_URL", "EMAIL_FROM", "PUBLIC_URL", "UNSUBSCRIBE_KEY"}
	choices  = []string{"UNSUBSCRIBE_KEY", "WEBHOOK_ALLOW_INSECURE"}
)

// Functions are Duebell's functions. Package gateway has their routes.
var Functions = []Function{
	{"create-task", slices.Concat(users, database, jobs)},
	{"update-task", slices.Concat(users, database, jobs)},
	{"delete-task", slices.Concat(users, database, jobs)},
	{"get-tasks", slices.Concat(users, database)},
	{"inbox", slices.Concat(users, database)},
	{"preferences", slices.Concat(users, database, choices)},
	{trigger, slices.Concat(callback, database, email)},
}
