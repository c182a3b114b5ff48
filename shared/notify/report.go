package notify

// DeliveryName is the name under which messages carry the delivery's id, so that providers' reports
// name it.
const DeliveryName = "delivery_id"

// ReportPath is the path for a provider's reports, below PUBLIC_URL.
func ReportPath(provider string) string { return "/api/reports/" + provider }
