package gateway

// Route says which function serves a pattern of http.ServeMux. The path is the same
// on both sides.
type Route struct {
	Pattern, Function string
}

// Routes are all paths of Duebell's HTTP API and of the console, as one host serves them.
var Routes = []Route{
	{"POST /api/tasks", "create-task"},
	{"POST /api/tasks/batch", "create-tasks-batch"},
	{"GET /api/tasks", "get-tasks"},
	{"GET /api/tasks/{task_id}", "get-tasks"},
	{"GET /api/tasks/{task_id}/deliveries", "get-tasks"},
	{"GET /api/tasks/{task_id}/timeline", "get-tasks"},
	{"GET /api/tasks/{task_id}/occurrences", "get-tasks"},
	{"PUT /api/tasks/{task_id}", "update-task"},
	{"PATCH /api/tasks/{task_id}", "update-task"},
	{"POST /api/tasks/{task_id}/complete", "update-task"},
	{"POST /api/tasks/{task_id}/skip", "update-task"},
	{"POST /api/tasks/{task_id}/snooze", "update-task"},
	{"POST /api/tasks/{task_id}/acknowledge", "update-task"},
	{"DELETE /api/tasks/{task_id}", "delete-task"},

	{"POST /api/recurrence/preview", "get-tasks"},

	{"POST /job/{name}", "trigger-reminder"},
	{"POST /api/jobs/trigger", "trigger-reminder"},

	{"GET /api/notifications", "inbox"},
	{"GET /api/notifications/count", "inbox"},
	{"POST /api/notifications/{id}/read", "inbox"},
	{"POST /api/notifications/{id}/unread", "inbox"},
	{"POST /api/notifications/{id}/archive", "inbox"},
	{"DELETE /api/notifications/{id}/archive", "inbox"},
	{"POST /api/notifications/{id}/snooze", "inbox"},
	{"POST /api/notifications/{id}/acknowledge", "inbox"},
	{"POST /api/notifications/read-all", "inbox"},
	{"GET /api/notifications/stream", "inbox"},
	{"GET /api/notifications/ws", "inbox"},
	{"POST /api/notifications/ticket", "inbox"},

	{"GET /api/preferences", "preferences"},
	{"PUT /api/preferences", "preferences"},
	{"POST /api/preferences/test", "preferences"},
	{"POST /api/preferences/verify", "preferences"},
	{"POST /api/preferences/verify/resend", "preferences"},
	{"GET /api/unsubscribe", "preferences"},
	{"POST /api/unsubscribe", "preferences"},
	{"GET /api/verify", "preferences"},
	{"POST /api/verify", "preferences"},
	{"GET /api/not-me", "preferences"},
	{"POST /api/not-me", "preferences"},
	{"GET /api/suppressions", "preferences"},
	{"POST /api/suppressions", "preferences"},
	{"POST /api/suppressions/{id}/lift", "preferences"},

	{"GET /m/{signed}", "links"},
	{"POST /m/{signed}", "links"},

	{"POST /api/reports/sendgrid", "reports"},
	{"POST /api/reports/ses", "reports"},
	{"POST /api/reports/twilio", "reports"},

	{"GET /api/dlq", "dead-letters"},
	{"POST /api/dlq/replay", "dead-letters"},
	{"POST /api/dlq/{id}/replay", "dead-letters"},
	{"GET /api/dlq/{id}", "dead-letters"},
	{"DELETE /api/dlq/{id}", "dead-letters"},

	{"GET /api/status", "dead-letters"},

	{"GET /api/analytics", "analytics"},

	{"GET /api/openapi.json", "get-tasks"},

	{"GET /{$}", "console"},
	{"GET /console", "console"},
	{"GET /console/{path...}", "console"},
}
