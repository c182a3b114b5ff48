package notify

// DeliveryName is what the sends of all providers that report call a delivery's id, by which
// reports name it.
const DeliveryName = "delivery_id"

// ReportPath is where a provider reports to, below PUBLIC_URL.
func ReportPath(provider string) string { return "/api/reports/" + provider }
