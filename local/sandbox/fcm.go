package sandbox

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"google.golang.org/api/fcm/v1"
)

// What Google publishes about messages:send of FCM's HTTP v1 API:
// https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send,
// https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages and
// https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode. The request's
// members are those of the types that Google generates from its description.
const fcmMaxBytes = 4096

// Unregistered begins the FCM tokens of apps that are not installed any more, and the names of
// browsers that have unsubscribed.
const Unregistered = "unregistered"

var (
	fcmToken    = regexp.MustCompile(`^[A-Za-z0-9_:-]+$`)
	fcmTTL      = regexp.MustCompile(`^[0-9]{1,7}(\.[0-9]{1,9})?s$`)
	fcmReserved = regexp.MustCompile(`^(from|message_type|google.*|gcm.*)$`)
)

// fcmError is an error as Google's APIs send one; field is what is wrong, if any.
func fcmError(w http.ResponseWriter, status int, canonical, errorCode, message, field string) {
	details := []any{map[string]string{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": errorCode}}
	if field != "" {
		details = append(details, map[string]any{
			"@type":           "type.googleapis.com/google.rpc.BadRequest",
			"fieldViolations": []map[string]string{{"field": field, "description": message}},
		})
	}
	answer(w, status, "application/json; charset=UTF-8", map[string]any{
		"error": map[string]any{"code": status, "message": message, "status": canonical, "details": details},
	})
}

func fcmComplain(w http.ResponseWriter, status int, message string) {
	canonical, code := "INVALID_ARGUMENT", "INVALID_ARGUMENT"
	switch {
	case status == http.StatusUnauthorized:
		canonical, code = "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"
	case status == http.StatusForbidden:
		canonical, code = "PERMISSION_DENIED", "SENDER_ID_MISMATCH"
	case status == http.StatusNotFound:
		canonical, code = "NOT_FOUND", "UNREGISTERED"
	case status == http.StatusTooManyRequests:
		canonical, code = "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"
	case status == http.StatusServiceUnavailable:
		canonical, code = "UNAVAILABLE", "UNAVAILABLE"
	case status >= http.StatusInternalServerError:
		canonical, code = "INTERNAL", "INTERNAL"
	}
	fcmError(w, status, canonical, code, message, "")
}

func (s *Sandbox) serveFCM(w http.ResponseWriter, r *http.Request, body []byte, f Fault) {
	if r.URL.Path != "/v1/projects/"+googleProject+"/messages:send" || r.Method != http.MethodPost {
		http.NotFound(w, r) // Google's front end says so, in HTML
		return
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); !ok || !s.isToken(token) {
		w.Header().Set("Www-Authenticate", `Bearer realm="https://accounts.google.com/", error="invalid_token"`)
		fcmComplain(w, http.StatusUnauthorized, "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.")
		return
	}
	var request fcm.SendMessageRequest
	if wrong := check(body, &request); wrong != "" || !isMedia(r, "application/json") {
		fcmComplain(w, http.StatusBadRequest, "Invalid JSON payload received. "+wrong)
		return
	}
	if field, wrong := fcmProblem(request.Message); wrong != "" {
		fcmError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_ARGUMENT", wrong, field)
		return
	}
	m := request.Message
	if strings.HasPrefix(m.Token, Unregistered) {
		fcmComplain(w, http.StatusNotFound, "Requested entity was not found.")
		return
	}
	if !request.ValidateOnly {
		s.accept(r, f, Message{Provider: FCM, To: m.Token, Subject: m.Notification.Title, Body: m.Notification.Body, DeliveryID: m.Data[deliveryID]})
	}
	answer(w, http.StatusOK, "application/json; charset=UTF-8", map[string]string{"name": "projects/" + googleProject + "/messages/0:" + hexadecimal()})
}

// fcmProblem returns what is wrong with the message, or "", and in which field.
func fcmProblem(m *fcm.Message) (field, wrong string) {
	switch {
	case m == nil || m.Token == "" && m.Topic == "" && m.Condition == "" && m.Fid == "":
		return "message", "Recipient of the message is not set."
	case m.Topic != "" || m.Condition != "" || m.Fid != "":
		return "message", "The sandbox takes messages to one token."
	case !fcmToken.MatchString(m.Token):
		return "", "The registration token is not a valid FCM registration token" // as published, without a field
	case m.Notification == nil:
		return "message", "The sandbox takes messages with a notification."
	}
	size := len(m.Notification.Title) + len(m.Notification.Body) + len(m.Notification.Image)
	for name, value := range m.Data {
		size += len(name) + len(value)
		if name == "" || fcmReserved.MatchString(name) {
			return "message.data", "Invalid data payload key: " + name
		}
	}
	if m.Apns != nil {
		for name, value := range m.Apns.Headers {
			size += len(name) + len(value)
		}
		size += len(m.Apns.Payload)
		if len(m.Apns.Headers["apns-collapse-id"]) > 64 {
			return "message.apns.headers", "apns-collapse-id must not be longer than 64 bytes"
		}
	}
	if size > fcmMaxBytes {
		return "message", fmt.Sprintf("Android message is too big: more than %d bytes", fcmMaxBytes)
	}
	if m.Android != nil {
		if m.Android.Priority != "" && m.Android.Priority != "NORMAL" && m.Android.Priority != "HIGH" {
			return "message.android.priority", "Invalid value at 'message.android.priority'"
		}
		if m.Android.Ttl != "" && !fcmTTL.MatchString(m.Android.Ttl) {
			return "message.android.ttl", "Invalid value at 'message.android.ttl', Field 'ttl', Illegal duration format; duration must end with 's'"
		}
	}
	return "", ""
}
